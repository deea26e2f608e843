import pg from 'pg';
import type { Preflight, TableMapping } from './preset.ts';

const SHOWN = 10;

/** Refuses tables that hold resources of more than one tenant, since the same type and id may be there twice. */
export function tenantsPreflight(
  tables: readonly Pick<TableMapping, 'schema' | 'table'>[],
  column: string,
): Preflight {
  const name = pg.escapeIdentifier(column);
  const each = tables.map(
    ({ schema, table }) =>
      `SELECT DISTINCT ${name}::text AS tenant FROM ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`,
  );
  const [first] = tables;
  const where =
    tables.length > 1 ? `schema ${first?.schema ?? ''}` : `${first?.schema ?? ''}.${first?.table ?? ''}`;
  return {
    sql: `SELECT tenant FROM (${each.join(' UNION ')}) all_of_them ORDER BY 1 LIMIT ${SHOWN}`,
    problem: (rows) =>
      rows.length > 1
        ? `${where} holds resources of the tenants ${rows.map(([tenant]) => tenant ?? 'null').join(', ')}; name one in HEADWATER_SOURCE_TENANT`
        : undefined,
  };
}
