import type { Clock } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { stamp } from '../base/positions.ts';
import type { HealthReporter, Logger, Service } from '../base/service.ts';
import { resolveCohort } from '../cohort/cohort.ts';
import { movedGroups, resolveRights } from '../cohort/rights.ts';
import type { TypeRights } from '../cohort/rights.ts';
import { refuseUnknown } from '../cohort/known-patients.ts';
import type { ResourceLog } from '../cohort/versions.ts';
import type { Command } from '../events/commands.ts';
import type { Codec } from '../events/schema-ids.ts';
import { failureOf } from '../events/failure.ts';
import { isJobId } from '../events/job-id.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import type { StatusEvent } from '../events/status.ts';
import type { GapsOf, Lane, Task } from '../events/tasks.ts';
import type { Zone } from '../events/zone.ts';
import { parseInstant } from '../fhir/instant.ts';
import type { References } from '../fhir/reference.ts';
import type { LogReader, NewRecord, Outcome, QueuedRecord, WorkQueue } from '../log/log.ts';
import { requireTopics } from '../log/require-topics.ts';
import { looksBefore, plan, plannedTypes, rightsOf, scopeOf } from './plan.ts';
import type { ExportCommand, Findings, PlanSettings, Since } from './plan.ts';
import { ZoneFilter, ZoneGaps } from './zone-gaps.ts';

export interface PlannerCodecs {
  readonly command: { decode(bytes: Buffer): Command | Promise<Command> };
  readonly status: Pick<Codec<StatusEvent>, 'encode'>;
  readonly task: Pick<Codec<Task>, 'encode'>;
  readonly change: Pick<Codec<ResourceChange>, 'decode'>;
  readonly zone: Pick<Codec<Zone>, 'decode'>;
}

export interface PlannerTopics {
  readonly commands: string;
  readonly zones: string;
  readonly status: string;
  readonly tasks: Readonly<Record<Lane, string>>;
  resource(type: string): string;
}

export interface PlannerOptions {
  readonly queue: WorkQueue;
  readonly reader: Pick<LogReader, 'topics' | 'ends' | 'offsetsAt' | 'read' | 'readBackward'>;
  readonly codecs: PlannerCodecs;
  readonly topics: PlannerTopics;
  readonly group: string;
  readonly settings: PlanSettings;
  /** Throws `unavailable` unless the log has kept every version since a time (ms since 1970). */
  readonly requireVersions: (since: number) => Promise<void>;
  readonly references: References;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly health: HealthReporter;
}

/**
 * Turns commands into plans. The results of a command are appended together with its consumed offset, so each command is planned once,
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
      {
        topics: [topics.commands],
        group,
        concurrency: 4,
        onAssigned: () => health.ready(),
        onTrouble: (error) => health.waiting?.(error),
        // The key names the job also when the command cannot be read.
        giveUp: ({ key }, error) => (isJobId(key) ? this.#failure(key, error) : []),
      },
      (record, stop) => this.#handle(record, stop),
      signal,
    );
  }

  async #handle(record: QueuedRecord, signal: AbortSignal): Promise<Outcome> {
    const { logger, clock } = this.#options;
    const command = await this.#genuine(record);
    if (!command) return [];
    const at = { jobId: command.jobId, partition: record.partition, offset: record.offset };
    if (command.kind === 'ExportCancelRequested') {
      logger.info(at, 'export cancelled');
      return [this.#status({ kind: 'ExportCancelled', jobId: command.jobId, at: clock() })];
    }
    let found: Findings;
    try {
      await this.#options.requireVersions(command.cut.time);
      found = await this.#find(command, signal);
      await this.#options.requireVersions(command.cut.time);
    } catch (error) {
      if (!(error instanceof HeadwaterError) || !THE_CLIENTS.has(error.code)) throw error;
      logger.info({ ...at, code: error.code }, 'export refused');
      return this.#failure(command.jobId, error);
    }
    const place = { partition: record.partition, offset: record.offset };
    const { planned, tasks } = plan(command, this.#options.settings, clock(), { ...found, command: place });
    logger.info({ ...at, tasks: tasks.length, lane: tasks[0]?.lane }, 'export planned');
    return [this.#status(planned), ...tasks.map((task) => this.#task(task))];
  }

  /** Returns undefined for a command that no capture of this installation has sealed. */
  async #genuine({ key, value }: QueuedRecord): Promise<Command | undefined> {
    const { codecs, logger } = this.#options;
    try {
      return await codecs.command.decode(value);
    } catch (error) {
      if (!(error instanceof HeadwaterError) || error.code !== 'forbidden') throw error;
      logger.error({ key, err: error }, `a command is left out: ${error.message}`);
      return undefined;
    }
  }

  #failure(jobId: string, error: unknown): Outcome {
    return [this.#status({ kind: 'ExportFailed', jobId, at: this.#options.clock(), ...failureOf(error) })];
  }

  async #find(command: ExportCommand, signal: AbortSignal): Promise<Findings> {
    const { since: sinceText, until: untilText, patients } = command.parameters;
    const time = instantOf('_since', sinceText);
    const until = instantOf('_until', untilText);
    refuseFuture(time, command.cut.time);
    const { reader, topics } = this.#options;
    const ids = [...(command.cut.topicIds ?? [])].map(([type, id]) => [topics.resource(type), id] as const);
    await requireTopics(reader, new Map(ids), signal);
    const scope = scopeOf(command);
    const log = this.#log();
    const cohort =
      scope && (await resolveCohort(scope, time === undefined ? undefined : stamp(time), log, signal));
    const since = time === undefined ? undefined : { time, from: await this.#startsOf(command, time) };
    const { empty, known } = await this.#gaps(command, { since, cohort }, signal);
    const rights = rightsOf(command);
    const permits = await resolveRights(rights, since && stamp(since.time), log, signal);
    refuseForbidden(patients, permits('Patient'));
    if (patients.length > 0)
      await refuseUnknown(patients, {
        ends: command.cut.ends.get('Patient') ?? [],
        gaps: empty,
        log,
        signal,
      });
    const moved = rights && time !== undefined ? await movedGroups(rights, stamp(time), log, signal) : [];
    const moves = moved.some((group) => group !== scope?.group);
    // Whether a rule about all patients of a resource permitted it before, only its earlier version tells.
    const asksEarlier = command.grant?.types.some((type) => permits(type)?.exact === false) ?? false;
    const before = looksBefore(command, { since, cohort, rightsLookBefore: moves || asksEarlier });
    const from = before === 'no' ? since?.from : new Map();
    return {
      since: since && from && { time: since.time, from },
      until,
      cohort,
      empty,
      known: before === 'all' ? empty : known,
    };
  }

  /**
   * Stamps never go back inside a partition, and a cut's own time separates what is before it from what is after it. So a
   * stamp greater than T means "after the cut of T" exactly, and no such record lies before where the timestamp index points.
   */
  async #startsOf(command: ExportCommand, time: number): Promise<Since['from']> {
    const { reader, topics } = this.#options;
    const types = [...new Set([...plannedTypes(command), 'Provenance'])].filter((type) =>
      command.cut.ends.has(type),
    );
    const from = await Promise.all(
      types.map(
        async (type) => [type, await reader.offsetsAt(topics.resource(type), Math.max(0, time + 1))] as const,
      ),
    );
    return new Map(from);
  }

  /** Returns the stretches that are about no patient of the cohort, and those in which its client lacks nothing. */
  async #gaps(
    { parameters, cut }: ExportCommand,
    { since, cohort }: Pick<Findings, 'since' | 'cohort'>,
    signal: AbortSignal,
  ): Promise<Pick<Findings, 'empty' | 'known'>> {
    if (!cohort || (!cohort.members && !since)) return {};
    const { reader, codecs, topics } = this.#options;
    const filter = new ZoneFilter(cohort, since?.from ?? new Map());
    const log = { reader, topic: topics.zones, decode: (value: Buffer) => codecs.zone.decode(value) };
    const zones = await ZoneGaps.read(log, filter, signal);
    const gapsBy =
      (which: 'empty' | 'known'): GapsOf =>
      (range) => {
        // The groups of a group export are chosen by their ids.
        if (range.type === 'Group' && parameters.group !== undefined) return [];
        return zones[which](range, cut.meanBytes.get(range.type) ?? 0);
      };
    return { empty: gapsBy('empty'), known: gapsBy('known') };
  }

  #log(): ResourceLog {
    const { reader, codecs, topics, references } = this.#options;
    return {
      reader,
      references,
      decodeChange: (value) => codecs.change.decode(value),
      topicOf: (type) => topics.resource(type),
    };
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

/** Errors of the request that only its client can correct. */
const THE_CLIENTS: ReadonlySet<string> = new Set(['bad-request', 'not-found', 'forbidden']);

/** Says the same of a patient who exists and of one who does not. */
function refuseForbidden(patients: readonly string[], rights: TypeRights | undefined): void {
  const forbidden = rights && patients.find((id) => !rights.now(id, [id]));
  if (forbidden === undefined) return;
  throw new HeadwaterError('forbidden', `patient: your role does not permit Patient/${forbidden}`, {
    subject: 'patient',
  });
}

/** The most that the clock of a client may be ahead of the clock of the log, in ms. */
const CLOCK_TOLERANCE_MS = 60_000;

/** Compares with the clock of the log, not with that of a process: every `transactionTime` that was given out is before the time of a later cut. */
function refuseFuture(since: number | undefined, cut: number): void {
  if (since === undefined || since <= cut + CLOCK_TOLERANCE_MS) return;
  const [asked, now] = [since, cut].map((time) => new Date(time).toISOString());
  throw new HeadwaterError(
    'bad-request',
    `_since: ${asked} is in the future; the time of the log is ${now}. Use the transactionTime of an earlier export.`,
    { subject: '_since' },
  );
}

/** Parses an instant. The gateway has checked it, but a command from another source must fail instead of exporting everything. */
function instantOf(name: string, text: string | undefined): number | undefined {
  const time = text === undefined ? undefined : parseInstant(text);
  if (text !== undefined && time === undefined)
    throw new HeadwaterError('bad-request', `${name} is not a FHIR instant`, { subject: name });
  return time;
}
