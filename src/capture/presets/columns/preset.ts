import { HeadwaterError } from '../../../base/errors.ts';
import type { Preset, TableMapping } from '../preset.ts';
import { AS_STORED } from '../rendering.ts';
import { rowPreset } from '../row-preset.ts';
import { fingerprintOf, splitTable } from '../settings.ts';
import type { PresetSettings } from '../settings.ts';
import { tenantsPreflight } from '../tenants.ts';
import { typeChoice } from '../type-choice.ts';

/** The columns of a table; null for a column that it does not have. */
type Columns = Omit<TableMapping, 'schema' | 'table' | 'where' | 'alsoKey' | 'extra'> & {
  readonly tenant: string | null;
  /** Rows of other values are of another version of FHIR. */
  readonly where?: TableMapping['where'];
};

/** Servers that keep their resources in one plain table. */
const NAMED: Readonly<Record<'hfs' | 'wso2', Columns>> = {
  // Helios FHIR Server, crate helios-persistence 0.2.7, schema 54
  hfs: {
    type: { column: 'resource_type' },
    id: 'id',
    version: 'version_id',
    lastUpdated: 'last_updated',
    body: 'data',
    deleted: 'is_deleted',
    tenant: 'tenant_id',
    where: [{ column: 'fhir_version', value: '4.0' }],
  },
  // WSO2 FHIR Server, schema 7
  wso2: {
    type: { column: 'resource_type' },
    id: 'fhir_id',
    version: 'version_id',
    lastUpdated: 'last_updated',
    body: 'resource_json',
    deleted: 'is_deleted',
    tenant: 'tenant_id',
  },
};

/** One plain table with a row for each resource: HEADWATER_SOURCE_COLUMNS names its columns, or the server is a known one. */
export function columnsPreset(name: 'columns' | 'hfs' | 'wso2', settings: PresetSettings): Preset {
  const columns = name === 'columns' ? parseColumns(settings.columns) : NAMED[name];
  const { tenant, where = [], ...rest } = columns;
  const place = splitTable(settings.table);
  const chosen = settings.tenants;
  if (tenant === null && chosen.length > 0)
    throw new HeadwaterError(
      'bad-config',
      'HEADWATER_SOURCE_TENANT: HEADWATER_SOURCE_COLUMNS names no column tenant',
    );
  if (chosen.length > 1)
    throw new HeadwaterError(
      'bad-config',
      'HEADWATER_SOURCE_TENANT: name one tenant; another one needs an installation of its own',
    );
  const [one] = chosen;
  const mapping: TableMapping = {
    ...place,
    ...rest,
    where: [...where, ...(tenant !== null && one !== undefined ? [{ column: tenant, value: one }] : [])],
    alsoKey: tenant === null ? [] : [tenant],
  };
  const fromColumns = name !== 'columns' || settings.meta === 'columns';
  return rowPreset({
    name,
    fingerprint: fingerprintOf(settings, ['types', 'excludeTypes', 'meta', 'tenants', 'columns']),
    setting: 'HEADWATER_SOURCE_TABLE',
    schema: undefined,
    rendering: fromColumns ? { kind: 'meta from columns' } : AS_STORED,
    follows: typeChoice(settings),
    mappings: () => [mapping],
    preflights: ([table]) => (table && tenant !== null ? [tenantsPreflight([table], tenant, one)] : []),
  });
}

const NAMES = ['type', 'id', 'version', 'lastUpdated', 'body', 'deleted', 'tenant'] as const;
type Name = (typeof NAMES)[number];

/** Reads `id=fhir_id,type=kind,…`. The type of a table that holds one type only is quoted: `type='Patient'`. */
function parseColumns(text: string): Columns {
  const fail = (why: string): never => {
    throw new HeadwaterError('bad-config', `HEADWATER_SOURCE_COLUMNS: ${why}`);
  };
  const given = new Map<string, string>();
  for (const part of text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')) {
    const [, name = '', column = ''] =
      /^([A-Za-z]+)=(.+)$/.exec(part) ?? fail(`"${part}" is not name=column`);
    if (!NAMES.includes(name as Name)) fail(`${name} is unknown; the names are ${NAMES.join(', ')}`);
    if (given.has(name)) fail(`${name} is named twice`);
    given.set(name, column);
  }
  const needed = (name: Name): string => given.get(name) ?? fail(`preset columns needs ${name}=<column>`);
  const optional = (name: Name): string | null => given.get(name) ?? null;
  const type = needed('type');
  const constant = /^'([A-Za-z]+)'$/.exec(type)?.[1];
  return {
    type: constant === undefined ? { column: type } : { constant },
    id: needed('id'),
    body: needed('body'),
    version: optional('version'),
    lastUpdated: optional('lastUpdated'),
    deleted: optional('deleted'),
    tenant: optional('tenant'),
  };
}
