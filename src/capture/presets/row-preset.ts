import type { FoundTable, Preflight, Preset, TableMapping } from './preset.ts';
import { followedTable, loadQuery, mappingOf, RowFold } from './row-table.ts';
import type { TypeChoice } from './type-choice.ts';

/** The parts in which presets differ whose rows are the current version of one resource each. */
export interface RowPreset extends Pick<Preset, 'name' | 'fingerprint' | 'setting' | 'schema' | 'rendering'> {
  readonly follows: TypeChoice;
  readonly mappings: (found: readonly FoundTable[]) => readonly TableMapping[];
  readonly preflights?: (
    mappings: readonly TableMapping[],
    found: readonly FoundTable[],
  ) => readonly Preflight[];
  readonly alsoReads?: Preset['alsoReads'];
}

/** A preset of a server that keeps the current version of each resource in one row. */
export function rowPreset({ follows, mappings, preflights, alsoReads, ...rest }: RowPreset): Preset {
  return {
    ...rest,
    tables: (found) => mappings(found).map(followedTable),
    loads: (tables) => tables.map((table) => loadQuery(mappingOf(table), follows)),
    preflights: (tables, found) => preflights?.(tables.map(mappingOf), found) ?? [],
    alsoReads: (found) => alsoReads?.(found) ?? [],
    fold: () => new RowFold(follows),
  };
}
