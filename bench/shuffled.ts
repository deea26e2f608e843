import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { jobTables, schemaOf } from '../src/jobs/schema.ts';
import type { BenchSystem } from './bench-system.ts';
import { settleSource, withClient } from './changes.ts';
import { discard, ReplayTimes, timedExport } from './exports.ts';
import type { ZonePair } from './measurements.ts';
import { besideUnzoned, GROUP_EXPORT } from './narrow.ts';
import type { Phases } from './phases.ts';
import { byTurns } from './repeat.ts';
import { firstLoad, startOthers } from './start-up.ts';
import type { NodeOptions } from './start-up.ts';

const NAME = 'shuffled';

/** The Group again, of the same resources in random order: everything begins again, with another log. */
export async function shuffledGroup(
  system: BenchSystem,
  phases: Phases,
  nodeOptions: NodeOptions,
): Promise<ZonePair> {
  const { sourceUrl, slot, topicPrefix } = system.settings;
  await system.setUpAnew({
    HEADWATER_TOPIC_PREFIX: NAME,
    HEADWATER_SLOT: NAME,
    HEADWATER_PUBLICATION: NAME,
    HEADWATER_STORAGE_URL: pathToFileURL(join(system.files, NAME)).href, // a store has one owner
  });
  const resources = await phases.run('shuffling the source', async (signal) => {
    await forgetLog({ url: sourceUrl, slot, prefix: topicPrefix }, signal);
    return shuffle(sourceUrl);
  });
  await phases.run('vacuum', () => settleSource(sourceUrl));
  await firstLoad(system, phases, { phase: 'first load, shuffled', resources, nodeOptions });
  await startOthers(system, phases, nodeOptions);
  const times = await ReplayTimes.from(system.log);
  // A worker's first export is slower. Without this one, it would count for the exports with zones.
  await discard(system, await timedExport(system, GROUP_EXPORT, phases.signal), phases.signal);
  const phase = 'Group of 1 %, shuffled';
  const { zoned } = await byTurns(system, phases, { zoned: { phase, wanted: GROUP_EXPORT } });
  return besideUnzoned(system, phases, { phase: `${phase}, no zones`, times, zoned });
}

/** Removes the slot and the job tables of the first log. */
export async function forgetLog(
  { url, slot, prefix }: { readonly url: string; readonly slot: string; readonly prefix: string },
  signal: AbortSignal,
): Promise<void> {
  await withClient(url, async (client) => {
    const drop =
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active';
    while ((await client.query(drop, [slot])).rowCount === 0) await delay(100, undefined, { signal });
    await client.query(`DROP SCHEMA ${jobTables(schemaOf(prefix)).schema} CASCADE`);
  });
}

/** Makes the table again, its rows in random order. Returns how many there are. */
function shuffle(url: string): Promise<number> {
  return withClient(url, async (client) => {
    await client.query(`SET work_mem = '256MB'; SET maintenance_work_mem = '256MB'`);
    const made = await client.query(
      `CREATE TABLE shuffled AS SELECT * FROM resource WHERE NOT deleted ORDER BY md5(type || '/' || id)`,
    );
    await client.query(`
      DROP TABLE resource;
      ALTER TABLE shuffled RENAME TO resource;
      ALTER TABLE resource ADD PRIMARY KEY (type, id), ALTER deleted SET DEFAULT false, ALTER deleted SET NOT NULL;
      ALTER TABLE resource REPLICA IDENTITY FULL`);
    return made.rowCount ?? NaN;
  });
}
