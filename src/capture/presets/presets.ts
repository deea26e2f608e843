import { aidboxPreset } from './aidbox/preset.ts';
import { columnsPreset } from './columns/preset.ts';
import { hapiPreset } from './hapi/preset.ts';
import { headwaterPreset } from './headwater/preset.ts';
import { medplumPreset } from './medplum/preset.ts';
import type { Preset } from './preset.ts';
import { DEFAULT_SETTINGS } from './settings.ts';
import type { PresetSettings } from './settings.ts';

/** @throws `bad-config` with the setting that is wrong */
export function presetOf(given: Partial<PresetSettings>): Preset {
  const settings = { ...DEFAULT_SETTINGS, ...given };
  switch (settings.preset) {
    case 'headwater':
      return headwaterPreset(settings);
    case 'columns':
    case 'hfs':
    case 'wso2':
      return columnsPreset(settings.preset, settings);
    case 'hapi':
      return hapiPreset(settings);
    case 'medplum':
      return medplumPreset(settings);
    case 'aidbox':
    case 'fhirbase':
      return aidboxPreset(settings.preset, settings);
  }
}
