import pg from 'pg';
import type { FoundTable, Preflight } from '../preset.ts';
import type { TypeChoice } from '../type-choice.ts';
import { isResourceType } from '../../../fhir/resource-types.ts';

/**
 * Refuses tables of another name than their type (`$create-storage` of Aidbox), since their resources would be left out silently. A table says by
 * one row which type it holds. Tables that the role may not read are passed over: Aidbox's own are among them.
 * @param tables those with the columns of resources whose name is no type of R4
 */
export function otherStorages(tables: readonly FoundTable[], follows: TypeChoice): Preflight {
  const names = tables.map(
    ({ schema, table }) => `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`,
  );
  // A query over a table that may not be read fails before its first row, so the text of one is run where a row says that it may.
  const first = `query_to_xml('SELECT resource_type AS t FROM ' || name || ' LIMIT 1', false, true, '')::text`;
  return {
    sql: `SELECT name, ${first} FROM unnest(ARRAY[${names.map((name) => pg.escapeLiteral(name)).join(', ')}]::text[]) AS name
      WHERE has_table_privilege(name, 'SELECT') ORDER BY 1`,
    problem: (rows) => {
      for (const [name, xml] of rows) {
        const type = /<t>(\w+)<\/t>/.exec(xml ?? '')?.[1];
        if (type !== undefined && isResourceType(type) && follows(type))
          return `table ${name ?? ''} holds ${type}, which is followed in table ${type.toLowerCase()} only; empty it, or leave the type out by HEADWATER_SOURCE_EXCLUDE_TYPES`;
      }
      return undefined;
    },
  };
}
