import pg from 'pg';
import { HeadwaterError } from '../base/errors.ts';
import type { FollowedTable, FoundTable, TableName } from './presets/preset.ts';

/** The facts in the source's catalog that decide which changes the stream shows. One statement, one snapshot. */
export interface Catalog {
  readonly version: number;
  readonly encoding: string;
  readonly walLevel: string;
  readonly standby: boolean;
  /** PostgreSQL's system identifier and the database's oid. */
  readonly systemId: string;
  /** 0 on a standby. */
  readonly timeline: number;
  /** The end of the write-ahead log, as `16/B374D848`. */
  readonly walEnd: string;
  readonly database: string;
  readonly publication: CatalogPublication | null;
  readonly slot: CatalogSlot | null;
  /** Every table of the schema that is looked through; none if the tables are known by name. */
  readonly found: readonly FoundTable[];
  /** The tables that are followed. */
  readonly followed: readonly FollowedTable[];
  /** In the order of `followed`; null where there is no such table. */
  readonly tables: readonly (CatalogTable | null)[];
}

export interface CatalogPublication {
  readonly identity: string;
  readonly owned: boolean;
  /** Its COMMENT. */
  readonly comment: string | null;
  readonly insert: boolean;
  readonly update: boolean;
  readonly delete: boolean;
  readonly truncate: boolean;
  /** Changes of partitions come under the name of the partitioned table. */
  readonly viaRoot: boolean;
  /** PostgreSQL 18: `s` when it publishes generated columns; null before. */
  readonly generated: string | null;
}

export interface CatalogSlot {
  readonly type: string;
  readonly plugin: string | null;
  readonly database: string | null;
  readonly temporary: boolean;
  readonly lost: boolean;
  readonly active: boolean;
  readonly confirmed: string;
}

export interface CatalogTable {
  readonly oid: number;
  /** Changes with most DDL, and with TRUNCATE. */
  readonly xmin: string;
  /** Changes when the table is rewritten. */
  readonly filenode: string;
  readonly kind: string;
  readonly persistence: string;
  readonly replicaIdentity: string;
  readonly owned: boolean;
  readonly readable: boolean;
  /** It has row-level security. */
  readonly hasPolicies: boolean;
  /** Row-level security hides rows from our role. */
  readonly rowSecurity: boolean;
  /** It is a partition itself. */
  readonly partition: boolean;
  readonly children: number;
  /** The tables that hold the rows of a partitioned one. */
  readonly partitions: readonly CatalogPartition[];
  readonly columns: readonly CatalogColumn[];
  /** Columns of each unique index without condition or expression that holds at every moment. */
  readonly keys: readonly (readonly string[])[];
  readonly membership: Membership | null;
  /** Other publications under which REPLICA IDENTITY FULL would make the server's own UPDATE and DELETE fail. */
  readonly hindering: readonly { readonly name: string; readonly columnList: boolean }[];
}

export interface CatalogPartition
  extends
    TableName,
    Pick<
      CatalogTable,
      | 'oid'
      | 'filenode'
      | 'kind'
      | 'persistence'
      | 'replicaIdentity'
      | 'owned'
      | 'readable'
      | 'hasPolicies'
      | 'rowSecurity'
      | 'hindering'
    > {
  /** Changes when it, or a partition above it, is attached. */
  readonly attached: string;
}

export interface CatalogColumn {
  readonly name: string;
  readonly number: number;
  readonly xmin: string;
  /** Name of the type, or of the type behind a domain. */
  readonly type: string;
  readonly typeIdentity: string;
  readonly enum: boolean;
  /** '' for none, `s` for STORED, `v` for VIRTUAL. */
  readonly generated: string;
}

/** How the table is in the publication. */
export interface Membership {
  readonly kind: 'all' | 'schema' | 'table';
  readonly identity: string;
  readonly filtered: boolean;
  readonly columnList: boolean;
}

/** Members of a table and of a partition alike. */
const STORAGE = `
  'oid', c.oid::bigint, 'filenode', pg_relation_filenode(c.oid)::text, 'kind', c.relkind,
  'persistence', c.relpersistence, 'replicaIdentity', c.relreplident, 'owned', pg_has_role(c.relowner, 'USAGE'),
  'readable', has_table_privilege(c.oid, 'SELECT'),
  'hasPolicies', c.relrowsecurity,
  'rowSecurity', c.relrowsecurity AND NOT (role.rolsuper OR role.rolbypassrls)
    AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE')),
  'hindering', (SELECT coalesce(json_agg(json_build_object('name', o.pubname, 'columnList', r.prattrs IS NOT NULL)), '[]')
    FROM pg_publication o LEFT JOIN pg_publication_rel r ON r.prpubid = o.oid AND r.prrelid IN (c.oid, above.oid)
    WHERE o.pubname <> $1 AND (o.pubupdate OR o.pubdelete)
      AND (o.puballtables OR r.oid IS NOT NULL
        OR EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = o.oid AND n.pnnspid = c.relnamespace))
      AND (r.prattrs IS NOT NULL OR (to_jsonb(o) ->> 'pubgencols' = 'n'
        AND EXISTS (SELECT FROM pg_attribute g WHERE g.attrelid = c.oid AND g.attgenerated = 's' AND NOT g.attisdropped))))`;

/** A partition that is on its way out (DETACH CONCURRENTLY) does not count: queries leave its rows out. */
const PARTITIONS = `(WITH RECURSIVE below (oid, attached) AS (
    SELECT inhrelid, xmin::text FROM pg_inherits WHERE inhparent = above.oid AND NOT inhdetachpending
    UNION ALL SELECT i.inhrelid, b.attached || '.' || i.xmin
      FROM below b JOIN pg_inherits i ON i.inhparent = b.oid AND NOT i.inhdetachpending)
  SELECT coalesce(json_agg(json_build_object('schema', s.nspname, 'table', c.relname, 'attached', b.attached, ${STORAGE})
    ORDER BY s.nspname, c.relname), '[]')
  FROM below b JOIN pg_class c ON c.oid = b.oid JOIN pg_namespace s ON s.oid = c.relnamespace
  WHERE c.relkind <> 'p' AND above.relkind = 'p')`;

const TABLE = `json_build_object(${STORAGE},
  'xmin', c.xmin::text, 'partition', c.relispartition,
  'children', (SELECT count(*) FROM pg_inherits WHERE inhparent = c.oid), 'partitions', ${PARTITIONS},
  'columns', (SELECT coalesce(json_agg(json_build_object('name', a.attname, 'number', a.attnum, 'xmin', a.xmin::text,
      'type', format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL), 'typeIdentity', a.atttypid || '.' || a.atttypmod,
      'enum', t.typtype = 'e', 'generated', a.attgenerated) ORDER BY a.attnum), '[]')
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'keys', (SELECT coalesce(json_agg((SELECT json_agg(a.attname) FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))), '[]')
    FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
      AND i.indexprs IS NULL),
  'membership', CASE
    WHEN p.puballtables THEN json_build_object('kind', 'all', 'identity', '', 'filtered', false, 'columnList', false)
    ELSE coalesce(
      (SELECT json_build_object('kind', 'schema', 'identity', m.oid || '.' || m.xmin, 'filtered', false, 'columnList', false)
        FROM pg_publication_namespace m WHERE m.pnpubid = p.oid AND m.pnnspid = c.relnamespace),
      (SELECT json_build_object('kind', 'table', 'identity', m.oid || '.' || m.xmin, 'filtered', m.prqual IS NOT NULL,
        'columnList', m.prattrs IS NOT NULL) FROM pg_publication_rel m WHERE m.prpubid = p.oid AND m.prrelid = c.oid)) END)`;

const CATALOG = `SELECT json_build_object(
  'version', current_setting('server_version_num')::int, 'encoding', pg_encoding_to_char(d.encoding),
  'walLevel', current_setting('wal_level'), 'standby', pg_is_in_recovery(),
  'systemId', (SELECT system_identifier FROM pg_control_system()) || '/' || d.oid,
  'timeline', CASE WHEN pg_is_in_recovery() THEN 0
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END,
  'walEnd', CASE WHEN pg_is_in_recovery() THEN '0/0' ELSE pg_current_wal_insert_lsn()::text END,
  'database', d.datname,
  'publication', CASE WHEN p.oid IS NOT NULL THEN json_build_object('identity', p.oid || '.' || p.xmin,
    'owned', pg_has_role(p.pubowner, 'USAGE'), 'comment', obj_description(p.oid, 'pg_publication'),
    'insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete, 'truncate', p.pubtruncate, 'viaRoot', p.pubviaroot,
    'generated', to_jsonb(p) ->> 'pubgencols') END,
  'slot', (SELECT json_build_object('type', slot_type, 'plugin', plugin, 'database', database, 'temporary', temporary,
      'lost', coalesce(wal_status = 'lost', false) OR coalesce((to_jsonb(s) ->> 'conflicting')::boolean, false)
        OR to_jsonb(s) ->> 'invalidation_reason' IS NOT NULL,
      'active', active, 'confirmed', coalesce(confirmed_flush_lsn, '0/0'))
    FROM pg_replication_slots s WHERE slot_name = $2),
  'tables', (SELECT json_agg((SELECT ${TABLE} FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      CROSS JOIN LATERAL (SELECT c.oid, c.relkind) above
      WHERE n.nspname = w.schema AND c.relname = w.name AND c.relkind NOT IN ('i', 'I', 'S', 't', 'c')) ORDER BY w.place)
    FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS w (schema, name, place))
) AS catalog
FROM pg_database d JOIN pg_roles role ON role.rolname = current_user LEFT JOIN pg_publication p ON p.pubname = $1
WHERE d.datname = current_database()`;

export async function readCatalog(
  client: pg.ClientBase,
  names: {
    readonly publication: string;
    readonly slot: string;
    readonly followed: readonly FollowedTable[];
  },
): Promise<Omit<Catalog, 'found'>> {
  const { publication, slot, followed } = names;
  const { rows } = await client.query<{ catalog: Omit<Catalog, 'followed' | 'found'> }>(CATALOG, [
    publication,
    slot,
    followed.map(({ schema }) => schema),
    followed.map(({ table }) => table),
  ]);
  const catalog = rows[0]?.catalog;
  if (!catalog) throw new HeadwaterError('internal', 'PostgreSQL does not show the catalog of the database');
  return { ...catalog, tables: catalog.tables ?? [], followed };
}

/** Returns the partitions of a followed table; undefined if it is not partitioned. */
export function partitionsOf(
  { followed, tables }: Pick<Catalog, 'followed' | 'tables'>,
  { schema, table }: TableName,
): readonly CatalogPartition[] | undefined {
  const found = tables[followed.findIndex((one) => one.schema === schema && one.table === table)];
  return found?.kind === 'p' ? found.partitions : undefined;
}

/** Returns the ordinary and partitioned tables of a schema, with their columns. */
export async function findTables(client: pg.ClientBase, schema: string): Promise<FoundTable[]> {
  const { rows } = await client.query<FoundTable>(
    `SELECT n.nspname AS schema, c.relname AS table, json_agg(json_build_object('name', a.attname,
       'type', format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL)) ORDER BY a.attnum) AS columns
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       JOIN pg_type t ON t.oid = a.atttypid
     WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
     GROUP BY 1, 2 ORDER BY 1, 2`,
    [schema],
  );
  return rows;
}
