import { HapiLookups, versionKey } from '../../../../src/capture/presets/hapi/lookups.ts';
import type { VersionKey } from '../../../../src/capture/presets/hapi/lookups.ts';
import {
  resourceRow,
  resourceTag,
  tagDefinition,
  tagRow,
  versionRow,
} from '../../../../src/capture/presets/hapi/rows.ts';
import type {
  ResourceRow,
  ResourceTag,
  TagDefinition,
  TagRow,
  Texts,
  VersionRow,
} from '../../../../src/capture/presets/hapi/rows.ts';
import type { Lookup } from '../../../../src/capture/presets/preset.ts';
import type { RecordedChange } from '../../../servers/hapi/wal-recorder.ts';

const KEYS: Readonly<Record<string, string>> = { hfj_resource: 'res_id', hfj_tag_def: 'tag_id' };

/** The tables of a recording, as they are after the transactions applied so far. Answers a fold as the source does. */
export class RecordedRows extends HapiLookups {
  readonly #tables = new Map<string, Map<string, Texts>>();
  /** The lookups so far, by name. */
  readonly asked: string[] = [];

  constructor() {
    super('public');
  }

  apply({ table, old, new: row }: RecordedChange): void {
    const rows = this.#tables.get(table) ?? new Map<string, Texts>();
    this.#tables.set(table, rows);
    const key = KEYS[table] ?? 'pid';
    if (old) rows.delete(old[key] ?? '');
    if (row) rows.set(row[key] ?? '', { ...old, ...row });
  }

  override versions(_lookup: Lookup, keys: readonly VersionKey[]): Promise<Map<string, VersionRow>> {
    if (keys.length > 0) this.asked.push('versions');
    const wanted = new Set(keys.map(versionKey));
    const found = this.#versions().filter((row) => wanted.has(versionKey(row)));
    return Promise.resolve(new Map(found.map((row) => [versionKey(row), row])));
  }

  override resources(_lookup: Lookup, resIds: readonly string[]): Promise<Map<string, ResourceRow>> {
    this.asked.push('resources');
    const found = this.#rows('hfj_resource')
      .map(resourceRow)
      .filter(({ resId }) => resIds.includes(resId));
    return Promise.resolve(new Map(found.map((row) => [row.resId, row])));
  }

  override tags(_lookup: Lookup, versionPids: readonly string[]): Promise<TagRow[]> {
    this.asked.push('tags of versions');
    const rows = this.#rows('hfj_history_tag').map(tagRow);
    return Promise.resolve(rows.filter(({ versionPid }) => versionPids.includes(versionPid)));
  }

  override resourceTags(_lookup: Lookup, resIds: readonly string[]): Promise<ResourceTag[]> {
    this.asked.push('tags of resources');
    const rows = this.#rows('hfj_res_tag').map(resourceTag);
    return Promise.resolve(rows.filter(({ resId }) => resIds.includes(resId)));
  }

  override definitions(_lookup: Lookup, tagIds: readonly string[]): Promise<TagDefinition[]> {
    this.asked.push('definitions of tags');
    const rows = this.#rows('hfj_tag_def').map(tagDefinition);
    return Promise.resolve(rows.filter(({ tagId }) => tagIds.includes(tagId)));
  }

  #versions(): VersionRow[] {
    return this.#rows('hfj_res_ver').map((of) => {
      const body = of['res_text_vc'] ?? null;
      return versionRow(of, body === null ? null : Buffer.from(body));
    });
  }

  #rows(table: string): Texts[] {
    return [...(this.#tables.get(table)?.values() ?? [])];
  }
}
