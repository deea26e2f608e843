import type { Lsn } from '../base/positions.ts';
import type { Command, RequestMessage } from '../events/commands.ts';
import type { CaptureLog, ChangeWriter } from './change-writer.ts';
import type { StampClock } from './stamp-clock.ts';

/** Turns the requests met in the write-ahead log into commands; this is where a cut comes from. */
export class CommandWriter {
  readonly #log: CaptureLog;
  readonly #writer: ChangeWriter;
  readonly #stamps: StampClock;
  readonly #topic: string;
  readonly #encode: (command: Command) => Buffer;

  constructor(options: {
    log: CaptureLog;
    writer: ChangeWriter;
    stamps: StampClock;
    topic: string;
    encode: (command: Command) => Buffer;
  }) {
    this.#log = options.log;
    this.#writer = options.writer;
    this.#stamps = options.stamps;
    this.#topic = options.topic;
    this.#encode = options.encode;
  }

  /**
   * @param at the request's own commit. Everything before it must have been handed to the log, nothing after it.
   * @param flush sends what was handed to the log, and resolves when the partitions' ends are known
   */
  async write(
    request: RequestMessage,
    at: { lsn: Lsn; commitTime: number },
    flush: () => Promise<void>,
  ): Promise<void> {
    if (request.kind === 'ExportRequested') {
      await flush();
      const cut = this.#writer.cut(at.lsn, this.#stamps.cut(at.commitTime));
      this.#add(request.jobId, { ...request, cut }, at.commitTime);
    } else {
      this.#add(request.jobId, request, at.commitTime);
    }
  }

  #add(jobId: string, command: Command, timestamp: number): void {
    this.#log.add(this.#topic, { timestamp, key: Buffer.from(jobId), value: this.#encode(command) });
  }
}
