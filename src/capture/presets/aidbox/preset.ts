import pg from 'pg';
import { HeadwaterError } from '../../../base/errors.ts';
import { RESOURCE_TYPES } from '../../../fhir/resource-types.ts';
import type { FoundTable, Preflight, Preset, TableMapping } from '../preset.ts';
import { rowPreset } from '../row-preset.ts';
import { TIMES } from '../row-table.ts';
import { fingerprintOf } from '../settings.ts';
import type { PresetSettings } from '../settings.ts';
import { typeChoice } from '../type-choice.ts';
import type { Dialect } from './convert.ts';
import { otherStorages } from './storages.ts';

const COLUMNS = ['id', 'txid', 'ts', 'resource_type', 'resource'];
const TYPES = new Map(RESOURCE_TYPES.map((type) => [type.toLowerCase(), type]));

/**
 * Aidbox and FHIRbase: a table for each resource type, of the type's name in small letters, with bodies in a form of their own. Only types of R4
 * are followed, so that tables with secrets (client, session, user, …), which have the same columns, are not.
 */
export function aidboxPreset(dialect: Dialect, settings: PresetSettings): Preset {
  if (settings.tenants.length > 0)
    throw new HeadwaterError('bad-config', `HEADWATER_SOURCE_TENANT: preset ${dialect} has none; unset it`);
  const follows = typeChoice(settings);
  return rowPreset({
    name: dialect,
    fingerprint: fingerprintOf(settings, ['types', 'excludeTypes', 'schema', 'aidboxCreatedAtUrl']),
    setting: 'HEADWATER_SOURCE_SCHEMA',
    schema: settings.schema,
    rendering: { kind: 'aidbox', dialect, createdAtUrl: settings.aidboxCreatedAtUrl },
    follows,
    mappings: (found) =>
      found.flatMap((table) => mapping(table) ?? []).filter(({ type }) => follows(type.constant)),
    preflights: (_, found) => [
      ...found.filter(isAttribute).map(ownExtensions),
      otherStorages(found.filter(isOfOtherName), follows),
    ],
    alsoReads: (found) => found.filter(isAttribute),
  });
}

function mapping({
  schema,
  table,
  columns,
}: FoundTable): (TableMapping & { type: { constant: string } }) | undefined {
  const type = TYPES.get(table);
  if (type === undefined || !isOfResources(columns)) return undefined;
  return {
    schema,
    table,
    type: { constant: type },
    id: 'id',
    version: 'txid',
    lastUpdated: 'ts',
    body: 'resource',
    deleted: null,
    extra: columns.some(({ name }) => name === 'cts') ? [{ name: 'cts', types: TIMES, enums: false }] : [],
  };
}

function isOfResources(columns: FoundTable['columns']): boolean {
  return COLUMNS.every((name) => columns.some((column) => column.name === name));
}

/** Versions of the past are in tables of the same columns. */
function isOfOtherName({ table, columns }: FoundTable): boolean {
  return !TYPES.has(table) && !table.endsWith('_history') && isOfResources(columns);
}

function isAttribute({ table, columns }: FoundTable): boolean {
  return table === 'attribute' && isOfResources(columns);
}

/** Extensions that Aidbox keeps as elements of their own, by rows of `attribute`, cannot be told from elements of FHIR. */
function ownExtensions({ schema, table }: FoundTable): Preflight {
  const from = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
  return {
    sql: `SELECT id FROM ${from} WHERE resource ? 'extensionUrl' ORDER BY 1 LIMIT 1`,
    problem: ([found]) =>
      found &&
      `Aidbox keeps an extension as an element of its own (${schema}.attribute ${found[0] ?? ''}), which Headwater would not turn back into FHIR; remove its extensionUrl`,
  };
}
