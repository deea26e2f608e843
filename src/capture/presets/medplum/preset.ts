import { HeadwaterError } from '../../../base/errors.ts';
import { isResourceType } from '../../../fhir/resource-types.ts';
import type { FoundTable, Preset, TableMapping } from '../preset.ts';
import { rowPreset } from '../row-preset.ts';
import { fingerprintOf } from '../settings.ts';
import type { PresetSettings } from '../settings.ts';
import { tenantsPreflight } from '../tenants.ts';
import { typeChoice } from '../type-choice.ts';

const SHAPING = ['types', 'excludeTypes', 'tenants', 'schema', 'medplumMeta'] as const;
const PROJECT = 'projectId';
const COLUMNS = ['id', 'content', 'lastUpdated', 'deleted', PROJECT];

/**
 * Medplum: a table for each resource type, of the type's name. Only types of R4 are followed, so that tables with secrets (Login, User,
 * ClientApplication, …) are not. A deleted resource keeps its row, with an empty body.
 */
export function medplumPreset(settings: PresetSettings): Preset {
  const follows = typeChoice(settings);
  const [project, ...more] = settings.tenants;
  if (more.length > 0)
    throw new HeadwaterError(
      'bad-config',
      'HEADWATER_SOURCE_TENANT: name one project; another one needs an installation of its own',
    );
  return rowPreset({
    name: 'medplum',
    fingerprint: fingerprintOf(settings, SHAPING),
    setting: 'HEADWATER_SOURCE_SCHEMA',
    schema: settings.schema,
    rendering: { kind: 'medplum', extended: settings.medplumMeta === 'extended' },
    follows,
    mappings: (found) =>
      found
        .filter((table) => isOfType(table) && follows(table.table))
        .map((table) => mapping(table, project)),
    preflights: (mappings) => [tenantsPreflight(mappings, PROJECT, project)],
  });
}

function isOfType({ table, columns }: FoundTable): boolean {
  return isResourceType(table) && COLUMNS.every((name) => columns.some((column) => column.name === name));
}

function mapping({ schema, table }: FoundTable, project: string | undefined): TableMapping {
  return {
    schema,
    table,
    type: { constant: table },
    id: 'id',
    version: null, // the body has it, and older schemas have no column of it
    lastUpdated: 'lastUpdated',
    body: 'content',
    deleted: 'deleted',
    where: project === undefined ? [] : [{ column: PROJECT, value: project }],
  };
}
