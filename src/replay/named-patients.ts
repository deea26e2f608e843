import { HeadwaterError } from '../base/errors.ts';
import { offset } from '../base/positions.ts';
import type { Command } from '../events/commands.ts';
import type { Codec } from '../events/schema-ids.ts';
import type { CommandPlace } from '../events/tasks.ts';
import type { LogReader } from '../log/log.ts';

interface Options {
  readonly reader: Pick<LogReader, 'read'>;
  /** The topic of commands. */
  readonly topic: string;
  readonly codec: Pick<Codec<Command>, 'decode'>;
}

/** Reads the patients that a command names, for tasks that do not carry them. Keeps those of the last job for its next task. */
export class NamedPatients {
  readonly #options: Options;
  #last: { readonly jobId: string; readonly patients: readonly string[] } | undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Throws `gone` if the log no longer has the command of the job. */
  async of(jobId: string, place: CommandPlace, signal: AbortSignal): Promise<readonly string[]> {
    if (this.#last?.jobId !== jobId) this.#last = { jobId, patients: await this.#read(jobId, place, signal) };
    return this.#last.patients;
  }

  async #read(
    jobId: string,
    { partition, offset: at }: CommandPlace,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const { reader, topic, codec } = this.#options;
    const range = { topic, partition, from: at, to: offset(at + 1) };
    for await (const records of reader.read(range, signal)) {
      for (const { value } of records) {
        const command = codec.decode(value);
        if (command.kind === 'ExportRequested' && command.jobId === jobId) return command.parameters.patients;
      }
    }
    throw new HeadwaterError('gone', `topic ${topic} no longer holds the command of export ${jobId}`, {
      subject: topic,
    });
  }
}
