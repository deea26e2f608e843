import pg from 'pg';
import type { Preflight, TableMapping } from './preset.ts';

const SHOWN = 10;

/** Refuses a table that holds resources of more than one tenant, since the same type and id may be there twice. */
export function tenantPreflight(
  { schema, table }: Pick<TableMapping, 'schema' | 'table'>,
  column: string,
): Preflight {
  const name = pg.escapeIdentifier(column);
  const from = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
  return {
    sql: `SELECT DISTINCT ${name}::text FROM ${from} ORDER BY 1 LIMIT ${SHOWN}`,
    problem: (rows) =>
      rows.length > 1
        ? `${schema}.${table} holds resources of the tenants ${rows.map(([tenant]) => tenant ?? 'null').join(', ')}; name one in HEADWATER_SOURCE_TENANT`
        : undefined,
  };
}
