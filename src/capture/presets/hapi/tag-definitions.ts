import type { Lookup } from '../preset.ts';
import type { HapiLookups } from './lookups.ts';
import { labelsOf } from './render.ts';
import type { TagDefinition } from './rows.ts';

/** The tags that versions refer to by number. They are few, since resources share them, and are kept as they are met. */
export class TagDefinitions {
  readonly #lookups: HapiLookups;
  readonly #known = new Map<string, TagDefinition>();

  constructor(lookups: HapiLookups) {
    this.#lookups = lookups;
  }

  add(definition: TagDefinition): void {
    this.#known.set(definition.tagId, definition);
  }

  /** Asks the source for those that have not been met. */
  async require(lookup: Lookup, tagIds: readonly string[]): Promise<void> {
    const unknown = [...new Set(tagIds)].filter((tagId) => !this.#known.has(tagId));
    if (unknown.length === 0) return;
    for (const definition of await this.#lookups.definitions(lookup, unknown)) this.add(definition);
  }

  /** Returns the labels of a version as members of meta. */
  labels(tagIds: readonly string[]): string {
    return labelsOf([...new Set(tagIds)].flatMap((tagId) => this.#known.get(tagId) ?? []));
  }
}
