import type { Preset } from '../preset.ts';
import { AS_STORED } from '../rendering.ts';
import { rowPreset } from '../row-preset.ts';
import { fingerprintOf, splitTable } from '../settings.ts';
import type { PresetSettings } from '../settings.ts';
import { typeChoice } from '../type-choice.ts';

/** One table `resource (type, id, version, last_updated, body, deleted)` with whole resources. */
export function headwaterPreset(settings: PresetSettings): Preset {
  const { schema, table } = splitTable(settings.table);
  return rowPreset({
    name: 'headwater',
    fingerprint: fingerprintOf(settings, ['types', 'excludeTypes', 'meta']),
    setting: 'HEADWATER_SOURCE_TABLE',
    schema: undefined,
    rendering: settings.meta === 'columns' ? { kind: 'meta from columns' } : AS_STORED,
    follows: typeChoice(settings),
    mappings: () => [
      {
        schema,
        table,
        type: { column: 'type' },
        id: 'id',
        version: 'version',
        lastUpdated: 'last_updated',
        body: 'body',
        deleted: 'deleted',
      },
    ],
  });
}
