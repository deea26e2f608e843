import pg from 'pg';
import type { Preflight, TableMapping } from './preset.ts';

const SHOWN = 10;

type Table = Pick<TableMapping, 'schema' | 'table'>;

/**
 * Refuses tables that hold resources of several tenants while none is chosen, since the same type and id may be there twice; and tables that hold
 * resources, but none of the chosen tenant: its name may be misspelt, and exports would be empty without a word.
 */
export function tenantsPreflight(
  tables: readonly Table[],
  column: string,
  chosen: string | undefined,
): Preflight {
  const name = `${pg.escapeIdentifier(column)}::text`;
  const sources = tables.map(
    ({ schema, table }) => `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`,
  );
  const [first] = tables;
  const where =
    tables.length > 1 ? `schema ${first?.schema ?? ''}` : `${first?.schema ?? ''}.${first?.table ?? ''}`;
  return chosen === undefined
    ? severalTenants(where, sources, name)
    : missingTenant(where, sources, name, chosen);
}

function severalTenants(where: string, sources: readonly string[], name: string): Preflight {
  const each = sources.map((from) => `SELECT DISTINCT ${name} AS tenant FROM ${from}`);
  return {
    sql: `SELECT tenant FROM (${each.join(' UNION ')}) all_of_them ORDER BY 1 LIMIT ${SHOWN}`,
    problem: (rows) =>
      rows.length > 1
        ? `${where} holds resources of the tenants ${rows.map(([tenant]) => tenant ?? 'null').join(', ')}; name one in HEADWATER_SOURCE_TENANT`
        : undefined,
  };
}

/**
 * Refuses tables that hold resources, but none of the chosen tenant. The look ends at its first row.
 * @param name SQL that gives the tenant of a row
 */
export function missingTenant(
  where: string,
  sources: readonly string[],
  name: string,
  chosen: string,
): Preflight {
  const value = pg.escapeLiteral(chosen);
  const has = sources.map((from) => `EXISTS (SELECT FROM ${from} WHERE ${name} = ${value})`);
  const other = sources.map((from) => `(SELECT coalesce(${name}, 'null') FROM ${from} LIMIT 1)`);
  return {
    sql: `SELECT CASE WHEN ${has.join(' OR ')} THEN ${value} ELSE coalesce(${other.join(', ')}) END`,
    problem: ([found]) =>
      found?.[0] && found[0] !== chosen
        ? `${where} holds no resource of ${chosen} (HEADWATER_SOURCE_TENANT), but of ${found[0]}; correct the setting, or wait for its first resource`
        : undefined,
  };
}
