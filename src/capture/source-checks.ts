import pg from 'pg';
import type { Catalog, CatalogColumn, CatalogPartition, CatalogTable } from './catalog.ts';
import type { FollowedColumn, FollowedTable, TableName } from './presets/preset.ts';
import { publicationProblems } from './publication-checks.ts';
import { problem, qualified } from './source-problem.ts';
import type { Problem, SourceNames } from './source-problem.ts';

type StoredTable = Pick<
  CatalogTable,
  'kind' | 'persistence' | 'readable' | 'rowSecurity' | 'hindering' | 'replicaIdentity' | 'owned'
>;

/**
 * Returns everything that would keep changes or rows from the log, in the order of the checks. The faults that an operator must mend come
 * first, so that Headwater changes nothing in a database that it cannot follow.
 */
export function problemsOf(catalog: Catalog, names: SourceNames): readonly Problem[] {
  const tables = catalog.followed.flatMap((one, i) => {
    const table = catalog.tables[i];
    return table ? [{ followed: one, table }] : [];
  });
  const found = [
    ...databaseProblems(catalog, names),
    ...slotProblems(catalog, names),
    ...tables.flatMap(({ followed: one, table }) => [
      ...tableProblems(one, table, names),
      ...columnProblems(one, table, catalog),
      ...identityProblems(one, table),
      ...table.partitions.flatMap((partition) => partitionProblems(one, partition)),
    ]),
    ...publicationProblems(catalog, names),
  ];
  return [...found.filter(({ mend }) => !mend), ...found.filter(({ mend }) => mend)];
}

function databaseProblems(
  { walLevel, encoding, database, version }: Catalog,
  { slotFailover }: SourceNames,
): Problem[] {
  const found: Problem[] = [];
  if (slotFailover && version < 170_000)
    found.push({
      text: 'HEADWATER_SLOT_FAILOVER needs PostgreSQL 17 or newer, and the source is older; unset it',
    });
  if (walLevel !== 'logical')
    found.push(
      problem(
        `the source has wal_level = ${walLevel}`,
        "ALTER SYSTEM SET wal_level = 'logical'",
        'and restart PostgreSQL',
      ),
    );
  if (encoding === 'SQL_ASCII')
    found.push({
      text: `database ${database} has the encoding SQL_ASCII, so its bytes may be in any encoding; move it to a database of encoding UTF8`,
    });
  return found;
}

function slotProblems({ slot, database }: Catalog, { slot: name }: SourceNames): Problem[] {
  if (!slot) return [];
  const other = 'choose another HEADWATER_SLOT';
  if (slot.type !== 'logical') return [{ text: `slot ${name} is a physical one; ${other}` }];
  if (slot.database !== database)
    return [{ text: `slot ${name} belongs to database ${slot.database ?? ''} of this server; ${other}` }];
  if (slot.plugin !== 'pgoutput') return [{ text: `slot ${name} belongs to ${slot.plugin ?? ''}; ${other}` }];
  return [];
}

function tableProblems(mapping: FollowedTable, table: CatalogTable, { setting }: SourceNames): Problem[] {
  const name = `${mapping.schema}.${mapping.table}`;
  const sql = qualified(mapping);
  const kind = KINDS[table.kind];
  const checks: [boolean, Problem][] = [
    [
      kind !== undefined,
      {
        text: `${name} (${setting}) is ${kind ?? ''}, which is not supported; name a table`,
      },
    ],
    [table.partition, { text: `${name} (${setting}) is a part of a partitioned table; name that one` }],
    [
      table.kind === 'r' && table.children > 0,
      {
        text: `${name} has ${table.children} tables that inherit from it, whose changes come under their own names; run ALTER TABLE <child> NO INHERIT ${sql} for each`,
      },
    ],
    [table.persistence === 't', { text: `${name} is a temporary table` }],
  ];
  return [...checks.flatMap(([holds, found]) => (holds ? [found] : [])), ...storageProblems(mapping, table)];
}

/** Checks a table and a partition alike: a load reads each partition, and the log has its changes. */
function storageProblems(of: TableName, table: StoredTable): Problem[] {
  const name = `${of.schema}.${of.table}`;
  const sql = qualified(of);
  const checks: [boolean, Problem][] = [
    [
      table.persistence === 'u',
      problem(
        `${name} is UNLOGGED, so its changes are not in the write-ahead log`,
        `ALTER TABLE ${sql} SET LOGGED`,
      ),
    ],
    [
      !table.readable,
      problem(`the user of HEADWATER_SOURCE_URL may not read ${name}`, `GRANT SELECT ON ${sql} TO <user>`),
    ],
    [
      table.rowSecurity,
      problem(
        `row-level security of ${name} hides rows from the user of HEADWATER_SOURCE_URL`,
        'ALTER ROLE <user> BYPASSRLS',
      ),
    ],
  ];
  return checks.flatMap(([holds, found]) => (holds ? [found] : []));
}

/** A partition has a replica identity of its own, and a new one does not take that of its table. */
function partitionProblems(of: FollowedTable, partition: CatalogPartition): Problem[] {
  if (partition.kind === 'f')
    return [
      {
        text: `partition ${partition.schema}.${partition.table} of ${of.schema}.${of.table} is a foreign table, whose changes are not in the write-ahead log; detach it`,
      },
    ];
  return [...storageProblems(partition, partition), ...identityProblems(partition, partition)];
}

const KINDS: Readonly<Record<string, string>> = {
  v: 'a view',
  m: 'a materialized view',
  f: 'a foreign table',
};

function columnProblems(mapping: FollowedTable, table: CatalogTable, { version }: Catalog): Problem[] {
  const name = `${mapping.schema}.${mapping.table}`;
  const found: Problem[] = [];
  for (const column of mapping.columns) {
    const is = table.columns.find((one) => one.name === column.name);
    if (!is) found.push({ text: `${name} has no column ${column.name}` });
    else found.push(...typeProblems(mapping, column, is), ...generatedProblems(mapping, is, version));
  }
  const virtual = table.columns.find(({ generated }) => generated === 'v');
  if (virtual)
    found.push({
      text: `${name} has the virtual generated column ${virtual.name}; with REPLICA IDENTITY FULL, PostgreSQL would refuse every UPDATE and DELETE; make it STORED or drop it`,
    });
  const { key } = mapping;
  if (
    /[rp]/.test(table.kind) &&
    !table.keys.some((columns) => columns.every((column) => key.includes(column)))
  )
    found.push(
      problem(
        `${name} has no unique key on (${key.join(', ')}), so two rows may be one resource`,
        `ALTER TABLE ${qualified(mapping)} ADD UNIQUE (${key.map((column) => pg.escapeIdentifier(column)).join(', ')})`,
      ),
    );
  return found;
}

function typeProblems(
  mapping: FollowedTable,
  { types, enums }: FollowedColumn,
  column: CatalogColumn,
): Problem[] {
  if (types.includes(column.type) || (column.enum && enums)) return [];
  const wanted = types.join(', ');
  return [
    {
      text: `column ${column.name} of ${mapping.schema}.${mapping.table} is of type ${column.type}, which is not read the same by COPY and from the stream; it has to be one of: ${wanted}`,
    },
  ];
}

function generatedProblems(mapping: FollowedTable, column: CatalogColumn, version: number): Problem[] {
  if (column.generated !== 's' || version >= 180_000) return [];
  return [
    {
      text: `column ${column.name} of ${mapping.schema}.${mapping.table} is a generated one, which PostgreSQL streams from version 18 on; make it an ordinary column`,
    },
  ];
}

/** Without FULL an update that leaves a large body as it was arrives without the body, and a delete without what it deleted. */
function identityProblems(mapping: TableName, table: StoredTable): Problem[] {
  const name = `${mapping.schema}.${mapping.table}`;
  const hindering = table.hindering[0];
  if (hindering) {
    const why = hindering.columnList ? 'lists columns of it' : 'leaves out its generated column';
    return [
      {
        text: `publication ${hindering.name} publishes ${name} and ${why}; with REPLICA IDENTITY FULL, PostgreSQL would refuse every UPDATE and DELETE; take the table out of that publication, or publish all of its columns`,
      },
    ];
  }
  if (table.replicaIdentity === 'f' || !/[rp]/.test(table.kind)) return [];
  const sql = `ALTER TABLE ${qualified(mapping)} REPLICA IDENTITY FULL`;
  const found = problem(`${name} has no REPLICA IDENTITY FULL`, sql);
  return [table.owned ? { ...found, mend: [sql] } : found];
}
