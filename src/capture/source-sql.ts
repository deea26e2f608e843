import pg from 'pg';
import type { Catalog } from './catalog.ts';
import { qualified } from './source-problem.ts';
import type { Problem } from './source-problem.ts';

/** The role that Headwater logs in as. */
export interface SourceRole {
  readonly role: string;
  readonly exists: boolean;
  /** Tables that are read beside the followed ones. */
  readonly alsoReads: readonly { readonly schema: string; readonly table: string }[];
}

/**
 * Returns the statements that let a role follow the source and nothing more: rights to replicate, to read the tables, and to make the schema of
 * the job tables; then what the problems of the catalog need.
 */
export function preparationSql(
  { database, followed, tables }: Catalog,
  problems: readonly Problem[],
  { role, exists, alsoReads }: SourceRole,
): string[] {
  const user = pg.escapeIdentifier(role);
  const partitions = tables.flatMap((table) => table?.partitions ?? []);
  const read = [...followed, ...partitions, ...alsoReads];
  const schemas = [...new Set(read.map(({ schema }) => pg.escapeIdentifier(schema)))];
  return [
    exists
      ? `ALTER ROLE ${user} LOGIN REPLICATION`
      : `CREATE ROLE ${user} LOGIN REPLICATION PASSWORD '<password>'`,
    `GRANT CONNECT, CREATE ON DATABASE ${pg.escapeIdentifier(database)} TO ${user}`,
    `GRANT USAGE ON SCHEMA ${schemas.join(', ')} TO ${user}`,
    `GRANT SELECT ON ${read.map(qualified).join(', ')} TO ${user}`,
    ...([...tables, ...partitions].some((table) => table?.hasPolicies)
      ? [`ALTER ROLE ${user} BYPASSRLS`]
      : []),
    `SET lock_timeout = '2s'`, // everything after a lock that waits would wait for it
    ...problems.flatMap(({ run = [] }) => run).filter((sql) => !/<user>/.test(sql)),
  ];
}
