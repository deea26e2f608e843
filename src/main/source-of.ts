import { presetOf } from '../capture/presets/presets.ts';
import type { PresetSettings } from '../capture/presets/settings.ts';
import { Source } from '../capture/source.ts';
import type { Settings } from '../config/settings.ts';

/** The source that settings describe. @throws `bad-config` with the setting that is wrong */
export function sourceOf(settings: Settings): Source {
  return new Source({
    url: settings.sourceUrl,
    slot: settings.slot,
    slotFailover: settings.slotFailover,
    publication: settings.publication,
    prefix: settings.topicPrefix,
    preset: presetOf(presetSettings(settings)),
  });
}

function presetSettings(settings: Settings): PresetSettings {
  return {
    preset: settings.sourcePreset,
    table: settings.sourceTable,
    schema: settings.sourceSchema,
    columns: settings.sourceColumns,
    meta: settings.sourceMeta,
    tenants: settings.sourceTenant,
    timeZone: settings.sourceTimeZone,
    hapiTags: settings.sourceHapiTags,
    medplumMeta: settings.sourceMedplumMeta,
    aidboxCreatedAtUrl: settings.sourceAidboxCreatedAtUrl,
    types: settings.sourceTypes,
    excludeTypes: settings.sourceExcludeTypes,
  };
}
