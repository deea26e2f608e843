import type { Clock } from '../base/clock.ts';
import type { HealthReporter, Logger, Service } from '../base/service.ts';
import type { Command } from '../events/commands.ts';
import type { Codec } from '../events/schema-ids.ts';
import type { StatusEvent } from '../events/status.ts';
import type { Lane, Task } from '../events/tasks.ts';
import { parseInstant } from '../fhir/instant.ts';
import type { LogReader, NewRecord, Outcome, QueuedRecord, WorkQueue } from '../log/log.ts';
import { plan, plannedTypes } from './plan.ts';
import type { ExportCommand, PlanSettings, Since } from './plan.ts';

export interface PlannerCodecs {
  readonly command: Pick<Codec<Command>, 'decode'>;
  readonly status: Pick<Codec<StatusEvent>, 'encode'>;
  readonly task: Pick<Codec<Task>, 'encode'>;
}

export interface PlannerTopics {
  readonly commands: string;
  readonly status: string;
  readonly tasks: Readonly<Record<Lane, string>>;
  resource(type: string): string;
}

export interface PlannerOptions {
  readonly queue: WorkQueue;
  readonly reader: Pick<LogReader, 'offsetsAt'>;
  readonly codecs: PlannerCodecs;
  readonly topics: PlannerTopics;
  readonly group: string;
  readonly settings: PlanSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly health: HealthReporter;
}

/**
 * Commands in, plans out: what a command leads to is appended together with its consumed offset, so it is planned once
 * whatever crashes. Invariant: the commands of a job are in one partition, so a cancel is never handled before its request.
 */
export class Planner implements Service {
  readonly name = 'planner';
  readonly #options: PlannerOptions;

  constructor(options: PlannerOptions) {
    this.#options = options;
  }

  run(signal: AbortSignal): Promise<void> {
    const { queue, topics, group, health } = this.#options;
    return queue.run(
      { topics: [topics.commands], group, concurrency: 4, onAssigned: () => health.ready() },
      (record) => this.#handle(record),
      signal,
    );
  }

  async #handle(record: QueuedRecord): Promise<Outcome> {
    const { codecs, logger, clock } = this.#options;
    const command = codecs.command.decode(record.value);
    const at = { jobId: command.jobId, partition: record.partition, offset: record.offset };
    if (command.kind === 'ExportCancelRequested') {
      logger.info(at, 'export cancelled');
      return [this.#status({ kind: 'ExportCancelled', jobId: command.jobId, at: clock() })];
    }
    const since = await this.#since(command);
    if (since === 'not-an-instant') {
      // The gateway checks instants; a command from elsewhere must fail rather than export everything.
      const message = '_since is not a FHIR instant';
      return [
        this.#status({
          kind: 'ExportFailed',
          jobId: command.jobId,
          at: clock(),
          code: 'bad-request',
          message,
        }),
      ];
    }
    const { planned, tasks } = plan(command, this.#options.settings, clock(), since);
    logger.info({ ...at, tasks: tasks.length, lane: tasks[0]?.lane }, 'export planned');
    return [this.#status(planned), ...tasks.map((task) => this.#task(task))];
  }

  /**
   * Stamps never go back inside a partition, and a cut's own time separates what is before it from what is after it. So a
   * stamp greater than T means "after the cut of T" exactly, and no such record lies before where the timestamp index points.
   */
  async #since(command: ExportCommand): Promise<Since | undefined | 'not-an-instant'> {
    if (command.parameters.since === undefined) return undefined;
    const time = parseInstant(command.parameters.since);
    if (time === undefined) return 'not-an-instant';
    const { reader, topics } = this.#options;
    const from = await Promise.all(
      plannedTypes(command).map(
        async (type) => [type, await reader.offsetsAt(topics.resource(type), Math.max(0, time + 1))] as const,
      ),
    );
    return { time, from: new Map(from) };
  }

  #status(event: StatusEvent): NewRecord {
    const { topics, codecs } = this.#options;
    return { topic: topics.status, key: event.jobId, value: codecs.status.encode(event) };
  }

  #task(task: Task): NewRecord {
    const { topics, codecs } = this.#options;
    return {
      topic: topics.tasks[task.lane],
      key: `${task.jobId}/${task.taskId}`,
      value: codecs.task.encode(task),
    };
  }
}
