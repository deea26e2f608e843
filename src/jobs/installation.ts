import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { HeadwaterError } from '../base/errors.ts';
import { MAKE_DURABLE } from '../database/durable.ts';
import { transaction } from '../database/pool.ts';
import type { JobTables } from './schema.ts';

/**
 * Records the schema's owner, once, and returns the installation's id. The id is created with the schema and stays in the
 * database, also through dump and restore. Throws `bad-config` if the schema belongs to another installation.
 */
export async function claimSchema(pool: Pool, t: JobTables, name: string): Promise<string> {
  return transaction(pool, async (client) => {
    await client.query(MAKE_DURABLE);
    await client.query(`INSERT INTO ${t.installation} (name, id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, [
      name,
      randomUUID(),
    ]);
    const { rows } = await client.query<{ name: string; id: string }>(
      `SELECT name, id FROM ${t.installation}`,
    );
    const owner = rows[0];
    if (owner?.name === name) return owner.id;
    throw new HeadwaterError(
      'bad-config',
      `schema ${t.schema} of the source database belongs to the installation "${owner?.name ?? ''}"; choose another HEADWATER_TOPIC_PREFIX`,
    );
  });
}
