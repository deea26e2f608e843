import type { Lsn } from '../base/positions.ts';
import type { Command, RequestMessage } from '../events/commands.ts';
import type { ChangeWriter } from './change-writer.ts';
import type { Requests } from './requests.ts';
import type { CaptureLog } from './resource-log.ts';
import type { StampClock } from './stamp-clock.ts';

/** In ms: Kafka keeps commands for so long. */
const REMEMBERED = 5 * 86_400_000;

/** Turns the requests in the write-ahead log into commands. Each export request gets its cut here. */
export class CommandWriter {
  readonly #log: CaptureLog;
  readonly #writer: ChangeWriter;
  readonly #stamps: StampClock;
  readonly #requests: Pick<Requests, 'topic' | 'encode'>;
  /** Jobs that have a command, of the last days and of those before. */
  #known = new Set<string>();
  #knownBefore = new Set<string>();
  #knownSince = 0;

  constructor(
    log: CaptureLog,
    writer: ChangeWriter,
    stamps: StampClock,
    requests: Pick<Requests, 'topic' | 'encode'>,
  ) {
    this.#log = log;
    this.#writer = writer;
    this.#stamps = stamps;
    this.#requests = requests;
  }

  /** Tells it the jobs whose commands are in the log. */
  know(jobIds: Set<string>): void {
    this.#known = jobIds;
  }

  /**
   * A job gets one command: a copy of its message, which every login of the database can emit, is left out.
   * @param at the request's own commit. The log must hold every change before it, and none after it.
   * @param flush sends the added records, and resolves when the partitions' ends are known
   * @returns false for a copy
   */
  async write(
    request: RequestMessage,
    at: { lsn: Lsn; commitTime: number },
    flush: () => Promise<void>,
  ): Promise<boolean> {
    if (request.kind === 'ExportRequested') {
      if (this.#isKnown(request.jobId, at.commitTime)) return false;
      await flush();
      const cut = this.#writer.cut(at.lsn, this.#stamps.cut(at.commitTime));
      this.#add(request.jobId, { ...request, cut }, at.commitTime);
    } else {
      this.#add(request.jobId, request, at.commitTime);
    }
    return true;
  }

  /** Remembers a job for as long as the log holds commands, at least. */
  #isKnown(jobId: string, now: number): boolean {
    if (now - this.#knownSince > REMEMBERED) {
      this.#knownBefore = this.#known;
      this.#known = new Set();
      this.#knownSince = now;
    }
    if (this.#known.has(jobId) || this.#knownBefore.has(jobId)) return true;
    this.#known.add(jobId);
    return false;
  }

  #add(jobId: string, command: Command, timestamp: number): void {
    const { topic, encode } = this.#requests;
    this.#log.add(topic, { timestamp, key: Buffer.from(jobId), value: encode(command) });
  }
}
