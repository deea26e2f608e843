import { offset } from '../base/positions.ts';
import { Lead } from '../database/lead.ts';
import type { LogReader } from '../log/log.ts';
import { dropAnnounced, readAnnounced } from './announced.ts';
import type { AnnouncedOptions } from './announced.ts';
import { forgetAgain } from './history.ts';
import { Projection } from './projection.ts';
import type { ProjectionOptions } from './projection.ts';
import { leadName } from './projector.ts';

export interface RebuildOptions extends ProjectionOptions {
  readonly databaseUrl: string;
  readonly reader: Pick<LogReader, 'ends' | 'offsetsAt' | 'read'>;
  readonly statusTopic: string;
  readonly announced: Pick<AnnouncedOptions, 'topic' | 'codec'>;
  /** Called with numbers of offsets, summed over all partitions. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Rebuilt {
  readonly events: number;
}

/**
 * Empties the projection and folds the log again from its beginning, in one database transaction: readers see the old tables
 * until the new ones are complete, and a crash leaves the old ones. Takes the lead from a running projector. The projector
 * continues afterwards from the offsets stored here. Published announcements are not published again.
 */
export async function rebuild(options: RebuildOptions, signal: AbortSignal): Promise<Rebuilt> {
  const { tables, reader, statusTopic, databaseUrl: url } = options;
  const statementMs = 0; // no limit: emptying large tables is slow
  const leader = await Lead.acquire({ url, name: leadName(tables), takeOver: true, statementMs }, signal);
  const all = AbortSignal.any([signal, leader.lost]);
  try {
    const announced = await readAnnounced({ reader, ...options.announced }, all);
    const ends = await reader.ends(statusTopic);
    const starts = await reader.offsetsAt(statusTopic, 0); // retention may have removed the first events
    const total = ends.reduce((sum, end) => sum + end, 0);
    const projection = new Projection(options);
    return await leader.transaction(async (client) => {
      await projection.clear(client);
      let [events, done] = [0, 0];
      for (const [partition, to] of ends.entries()) {
        for await (const records of reader.read(
          { topic: statusTopic, partition, from: starts[partition] ?? offset(0), to },
          all,
        )) {
          all.throwIfAborted();
          await projection.apply(client, partition, records);
          events += records.length;
          options.onProgress?.(done + (records.at(-1)?.offset ?? 0) + 1, total);
        }
        done += to;
        options.onProgress?.(done, total);
      }
      all.throwIfAborted();
      await forgetAgain(client, tables);
      await dropAnnounced(client, tables, announced);
      return { events };
    });
  } finally {
    await leader.release();
  }
}
