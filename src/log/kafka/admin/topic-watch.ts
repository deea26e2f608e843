import { sleep } from '../../../base/clock.ts';
import { HeadwaterError } from '../../../base/errors.ts';
import type { LogReader } from '../../log.ts';

const INTERVAL = 3_000;
/** After this many checks without it, a topic is gone. A broker that has just started may not know all topics yet. */
const MISSING = 3;

/**
 * Notices that a topic was deleted, or deleted and made again: its offsets begin again then, and a reader that
 * continues at a remembered offset would skip new records. A cluster that does not answer says nothing.
 */
export class TopicWatch {
  readonly #reader: Pick<LogReader, 'topics'>;
  readonly #topics: readonly string[];
  readonly #ids = new Map<string, string>();
  readonly #missing = new Map<string, number>();
  readonly #interval: number;

  constructor(reader: Pick<LogReader, 'topics'>, topics: readonly string[], interval = INTERVAL) {
    this.#reader = reader;
    this.#topics = topics;
    this.#interval = interval;
  }

  /** Resolves when the signal fires. Rejects with `gone` once a topic is not the one it was. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.check();
      await sleep(this.#interval, signal).catch(() => undefined);
    }
  }

  async check(): Promise<void> {
    const found = await this.#reader.topics(this.#topics).catch(() => undefined);
    if (!found) return;
    for (const topic of this.#topics) {
      const known = this.#ids.get(topic);
      const id = found.get(topic)?.id;
      if (id !== undefined) {
        this.#missing.delete(topic);
        if (known !== undefined && known !== id)
          throw new HeadwaterError('gone', `topic ${topic} was deleted and made again`, { subject: topic });
        this.#ids.set(topic, id);
      } else if (known !== undefined) {
        const missing = (this.#missing.get(topic) ?? 0) + 1;
        this.#missing.set(topic, missing);
        if (missing >= MISSING)
          throw new HeadwaterError('gone', `topic ${topic} was deleted: "headwater topics" makes it`, {
            subject: topic,
          });
      }
    }
  }
}
