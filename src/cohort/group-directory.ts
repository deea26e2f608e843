import { offset } from '../base/positions.ts';
import type { LogReader } from '../log/log.ts';
import { newestFirst, versionsOf } from './versions.ts';
import type { ResourceLog } from './versions.ts';

const TYPE = 'Group';

export type GroupLog = ResourceLog & { readonly reader: Pick<LogReader, 'ends' | 'readBackward'> };

/** The Groups that live in the log now. Nothing is kept: each question reads the topic of Group. */
export class GroupDirectory {
  readonly #open: () => Promise<GroupLog>;

  /** @param open called for each question, so that a log that is away keeps nothing else from starting */
  constructor(open: () => Promise<GroupLog>) {
    this.#open = open;
  }

  /** Returns the ids of all Groups, sorted. Memory: the ids. */
  async ids(signal: AbortSignal): Promise<string[]> {
    const log = await this.#open();
    const { reader, topicOf, decodeChange } = log;
    const living: string[] = [];
    for (const [partition, to] of (await reader.ends(topicOf(TYPE))).entries()) {
      const met = new Set<string>();
      const place = { type: TYPE, partition, parts: [{ from: offset(0), to }] };
      for await (const batch of newestFirst(log, place, signal))
        for (let i = batch.end - 1; i >= batch.begin; i--) {
          const key = batch.keyText(i);
          if (met.has(key)) continue; // an older version
          met.add(key);
          const { operation } = decodeChange(batch.data.subarray(batch.valueStart(i), batch.valueEnd(i)));
          if (operation !== 'delete') living.push(key.slice(TYPE.length + 1));
        }
    }
    return living.sort();
  }

  /** Returns the JSON of Groups by id; without those that are not there, or whose JSON the log does not hold. */
  async read(ids: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, Buffer>> {
    const log = await this.#open();
    const ends = await log.reader.ends(log.topicOf(TYPE));
    const found = await versionsOf(log, { type: TYPE, ids, ends, before: undefined }, signal);
    return new Map(
      ids.flatMap((id) => {
        const body = found.get(id)?.now?.body;
        return body ? [[id, Buffer.from(body)] as const] : [];
      }),
    );
  }
}
