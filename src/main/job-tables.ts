import { sleep } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import type { HealthReporter, Service } from '../base/service.ts';
import { unavailable } from '../database/errors.ts';
import { asking } from '../database/pool.ts';
import { claimSchema } from '../jobs/installation.ts';
import { migrate } from '../jobs/migrate.ts';
import { claimStorage } from '../storage/owner.ts';
import type { Shared } from './shared.ts';

/** Pause between two checks that the tables exist, in ms. */
const LOOK = 5_000;

/**
 * Creates the job tables and records their owner in them and in the store. If another installation owns either, the process ends.
 * Then it checks again and again that the tables exist, because an operator may restore or clean the database.
 */
export function jobTablesService(shared: Shared): (health: HealthReporter) => Service {
  return (health) => ({
    name: 'job-tables',
    run: async (signal) => {
      await prepare(shared);
      health.ready();
      while (!signal.aborted) {
        await sleep(LOOK, signal);
        if (await areGone(shared))
          throw new HeadwaterError('unavailable', 'the job tables have been dropped; they are made again');
      }
    },
  });
}

async function prepare(shared: Shared): Promise<void> {
  const { settings, pool, tables } = shared;
  const name = settings.topicPrefix;
  let id: string;
  try {
    await migrate(pool, tables);
    id = await claimSchema(pool, tables, name);
  } catch (error) {
    throw unavailable(error);
  }
  // The other roles that touch the store do not know the database; they compare names.
  if (settings.roles.some((role) => role === 'gateway' || role === 'janitor'))
    await claimStorage(await shared.store(), { name, id });
}

/** Returns true if the tables are gone. Returns false while the database is away: other services report that. */
async function areGone({ pool, tables }: Shared): Promise<boolean> {
  try {
    const { rows } = await asking(() =>
      pool.query<{ gone: boolean }>('SELECT to_regclass($1) IS NULL AS gone', [tables.installation]),
    );
    return rows[0]?.gone === true;
  } catch {
    return false;
  }
}
