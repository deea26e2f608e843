import pg from 'pg';
import { HeadwaterError } from '../../../base/errors.ts';
import type { Preflight, Preset } from '../preset.ts';
import { fingerprintOf } from '../settings.ts';
import type { PresetSettings } from '../settings.ts';
import { missingTenant } from '../tenants.ts';
import { typeChoice } from '../type-choice.ts';
import { HapiFold } from './fold.ts';
import { hapiLoad } from './load.ts';
import { ZoneClock } from './local-time.ts';
import { HapiLookups } from './lookups.ts';
import { followedTables } from './tables.ts';
import { TagDefinitions } from './tag-definitions.ts';
import type { HapiReading } from './versions.ts';

const SHAPING = ['types', 'excludeTypes', 'tenants', 'schema', 'timeZone', 'hapiTags'] as const;
/** Partition ids that a message shows. */
const SHOWN = 10;

/** HAPI FHIR JPA 7.0 or newer, and Smile CDR: bodies by version, types and ids in hfj_resource, tags in tables of their own. */
export function hapiPreset(settings: PresetSettings): Preset {
  const { schema, tenants, hapiTags } = settings;
  const [partition, ...more] = tenants;
  if (more.length > 0)
    throw new HeadwaterError(
      'bad-config',
      'HEADWATER_SOURCE_TENANT: name one partition; another one needs an installation of its own',
    );
  const hasTags = hapiTags !== 'inline';
  const versionsHaveTags = hapiTags === 'versioned';
  const followsType = typeChoice(settings);
  const reading: HapiReading = {
    clock: new ZoneClock(settings.timeZone),
    follows: (resource) =>
      followsType(resource.type) &&
      (partition === undefined || (resource.partition ?? 'DEFAULT') === partition),
  };
  const lookups = new HapiLookups(schema);
  return {
    name: 'hapi',
    fingerprint: fingerprintOf(settings, SHAPING),
    setting: 'HEADWATER_SOURCE_SCHEMA',
    schema: undefined,
    rendering: { kind: 'hapi' },
    tables: () => followedTables(schema, hasTags),
    loads: () => [hapiLoad(schema, { reading, hasTags, partition })],
    preflights: () => preflights(schema, { versionsHaveTags, partition }),
    alsoReads: () => [],
    fold: () =>
      new HapiFold({ lookups, definitions: new TagDefinitions(lookups), reading, hasTags, versionsHaveTags }),
  };
}

function preflights(
  schema: string,
  {
    versionsHaveTags,
    partition,
  }: { readonly versionsHaveTags: boolean; readonly partition: string | undefined },
): Preflight[] {
  const of = pg.escapeIdentifier(schema);
  const found: Preflight[] = [
    {
      sql: `SELECT DISTINCT res_version FROM ${of}.hfj_resource WHERE res_version <> 'R4' LIMIT 1`,
      problem: ([other]) =>
        other &&
        `${schema}.hfj_resource holds resources of FHIR ${other[0] ?? ''}; Headwater exports R4 only, so this server cannot be its source`,
    },
    {
      sql: `SELECT 1 FROM ${of}.hfj_resource WHERE fhir_id IS NULL LIMIT 1`,
      problem: ([missing]) =>
        missing &&
        `${schema}.hfj_resource has rows without fhir_id; preset hapi needs HAPI 7.0 or newer, whose migration fills it`,
    },
  ];
  if (versionsHaveTags)
    found.push({
      sql: `SELECT EXISTS (SELECT FROM ${of}.hfj_res_tag) AND NOT EXISTS (SELECT FROM ${of}.hfj_history_tag)`,
      problem: ([answer]) =>
        answer?.[0] === 't'
          ? `${schema}.hfj_res_tag has tags and hfj_history_tag has none, so the server keeps tags without versions; set HEADWATER_SOURCE_HAPI_TAGS=non-versioned`
          : undefined,
    });
  const held = "coalesce(partition_id::text, 'DEFAULT')";
  if (partition !== undefined)
    found.push(missingTenant(`${schema}.hfj_resource`, [`${of}.hfj_resource`], held, partition));
  else
    found.push({
      sql: `SELECT DISTINCT ${held} FROM ${of}.hfj_resource ORDER BY 1 LIMIT ${SHOWN}`,
      problem: (rows) =>
        rows.length > 1
          ? `${schema}.hfj_resource holds the partitions ${rows.map(([id]) => id ?? '').join(', ')}; name one in HEADWATER_SOURCE_TENANT`
          : undefined,
    });
  return found;
}
