import { offset } from '../base/positions.ts';
import { NOTHING_ANNOUNCED } from '../events/announced.ts';
import type { Announced } from '../events/announced.ts';
import type { Codec } from '../events/schema-ids.ts';
import type { LogReader } from '../log/log.ts';
import type { Queryable } from './job-rows.ts';
import type { JobTables } from './schema.ts';

/** Key of the topic's only current record. */
export const ANNOUNCED_KEY = 'exports';

export interface AnnouncedOptions {
  readonly reader: Pick<LogReader, 'ends' | 'read'>;
  readonly topic: string;
  readonly codec: Pick<Codec<Announced>, 'decode'>;
}

/** Reads from the log which announcements were published. */
export async function readAnnounced(options: AnnouncedOptions, signal: AbortSignal): Promise<Announced> {
  const { reader, topic, codec } = options;
  const [to] = await reader.ends(topic);
  let found = NOTHING_ANNOUNCED;
  if (to === undefined) return found;
  for await (const records of reader.read({ topic, partition: 0, from: offset(0), to }, signal)) {
    const last = records.findLast(({ key }) => key.toString() === ANNOUNCED_KEY);
    if (last) found = codec.decode(last.value);
  }
  return found;
}

/** Deletes the rows of published announcements. */
export async function dropAnnounced(
  client: Queryable,
  tables: JobTables,
  { places }: Announced,
): Promise<void> {
  for (const [partition, last] of places) {
    const text = `DELETE FROM ${tables.announcement} WHERE partition = $1 AND ("offset", n) <= ($2::bigint, $3::int)`;
    await client.query(text, [partition, last.offset, last.n]);
  }
}
