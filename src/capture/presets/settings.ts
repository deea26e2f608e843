import { HeadwaterError } from '../../base/errors.ts';
import type { PresetName } from '../../config/source-presets.ts';
import type { PickedTypes } from './type-choice.ts';

/** The settings HEADWATER_SOURCE_* that say how the source keeps its resources. */
export interface PresetSettings extends PickedTypes {
  readonly preset: PresetName;
  /** `schema.table`. */
  readonly table: string;
  readonly schema: string;
  readonly columns: string;
  /** Where meta.versionId and meta.lastUpdated come from. */
  readonly meta: 'body' | 'columns';
  /** The tenants whose resources are followed; empty for all. */
  readonly tenants: readonly string[];
  /** IANA name of the zone in whose wall clock the server writes times without a zone. */
  readonly timeZone: string;
  /** Where HAPI keeps tags: in tables for each version, in one for the resource as it is now, or in the body. */
  readonly hapiTags: 'versioned' | 'non-versioned' | 'inline';
  /** Whether Medplum's own members of meta are exported. */
  readonly medplumMeta: 'plain' | 'extended';
  /** The extension of meta with the time at which Aidbox made a resource. */
  readonly aidboxCreatedAtUrl: string;
}

export const DEFAULT_SETTINGS: PresetSettings = {
  preset: 'headwater',
  table: 'public.resource',
  schema: 'public',
  columns: '',
  meta: 'body',
  tenants: [],
  timeZone: 'UTC',
  hapiTags: 'versioned',
  medplumMeta: 'plain',
  aidboxCreatedAtUrl: 'https://aidbox.app/ex/createdAt',
  types: [],
  excludeTypes: [],
};

/** Returns the settings that differ from their defaults, as text that is the same for the same settings. */
export function fingerprintOf(settings: PresetSettings, names: readonly (keyof PresetSettings)[]): string {
  const told = names.map((name) => {
    const value = settings[name];
    return [name, Array.isArray(value) ? [...(value as readonly string[])].sort() : value] as const;
  });
  const changed = told.filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(DEFAULT_SETTINGS[name]),
  );
  const preset = settings.preset === DEFAULT_SETTINGS.preset ? [] : [settings.preset];
  return [...preset, ...changed.map(([name, value]) => `${name}=${JSON.stringify(value)}`)].join(' ');
}

export function splitTable(text: string): { readonly schema: string; readonly table: string } {
  const [schema, table, ...rest] = text.split('.');
  if (schema && table && rest.length === 0) return { schema, table };
  throw new HeadwaterError('bad-config', `HEADWATER_SOURCE_TABLE: "${text}" is not schema.table`);
}
