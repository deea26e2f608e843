import type { Lookup } from '../preset.ts';
import type { HapiLookups } from './lookups.ts';
import type { ResourceTag, TagRow } from './rows.ts';
import type { TagDefinitions } from './tag-definitions.ts';

/** Labels of a resource before a transaction and after it, as members of meta; null if the body holds them. */
export interface Labels {
  readonly before: string | null;
  readonly now: string | null;
}

export const LABELS_IN_BODY: Labels = { before: null, now: null };

interface Changed<T> {
  readonly added: T[];
  readonly removed: T[];
}

/**
 * The tags that one transaction changes. HAPI keeps them twice: hfj_res_tag has those of a resource as it is now, which its API answers
 * with, and hfj_history_tag those of each version. All tags of an inserted version are in its own transaction. Without history, the one
 * version keeps tags that the resource has lost, and a rewrite of history does not touch them.
 */
export class TransactionTags {
  readonly #lookups: HapiLookups;
  readonly #definitions: TagDefinitions;
  #versions: Changed<TagRow> = { added: [], removed: [] };
  /** In the order of the log. */
  #resources: (ResourceTag & { readonly added: boolean })[] = [];

  constructor(lookups: HapiLookups, definitions: TagDefinitions) {
    this.#lookups = lookups;
    this.#definitions = definitions;
  }

  changeOfVersion(old: TagRow | undefined, row: TagRow | undefined): void {
    if (old) this.#versions.removed.push(old);
    if (row) this.#versions.added.push(row);
  }

  changeOfResource(old: ResourceTag | undefined, row: ResourceTag | undefined): void {
    if (old) this.#resources.push({ ...old, added: false });
    if (row) this.#resources.push({ ...row, added: true });
  }

  /** The resources whose tags have changed, each with the versions that are known to have it. */
  touched(): Map<string, Set<string>> {
    const found = new Map<string, Set<string>>();
    for (const { resId } of this.#resources) found.set(resId, new Set());
    for (const { resId, versionPid } of [...this.#versions.added, ...this.#versions.removed]) {
      const pids = found.get(resId);
      if (pids) pids.add(versionPid);
      else found.set(resId, new Set([versionPid]));
    }
    return found;
  }

  /** Forgets the tags for which the predicate is false. */
  keep(isWanted: (tag: ResourceTag & Partial<TagRow>) => boolean): void {
    const { added, removed } = this.#versions;
    this.#versions = { added: added.filter(isWanted), removed: removed.filter(isWanted) };
    this.#resources = this.#resources.filter(isWanted);
  }

  /** Returns the labels of inserted versions by pid. Before the end of the transaction, tags may be missing, so the source is asked. */
  async ofInserted(lookup: Lookup, pids: readonly string[], isEnd: boolean): Promise<Map<string, string>> {
    if (pids.length === 0) return new Map();
    const { added, removed } = this.#versions;
    const taken = new Set(removed.map(({ versionPid, tagId }) => `${versionPid}/${tagId}`));
    const rows = isEnd
      ? added.filter(({ versionPid, tagId }) => !taken.has(`${versionPid}/${tagId}`))
      : await this.#lookups.tags(lookup, pids);
    const tags = grouped(rows, ({ versionPid }) => versionPid);
    return this.#labels(lookup, new Map(pids.map((pid) => [pid, tags.get(pid) ?? []])));
  }

  /**
   * Returns the labels of resources by res_id, before the transaction and after it. A query may not see the transaction yet, since
   * PostgreSQL streams a commit before it shows it, or may see later ones. So the changes of the transaction are applied to its answer.
   */
  async ofResources(lookup: Lookup, resIds: readonly string[]): Promise<Map<string, Labels>> {
    if (resIds.length === 0) return new Map();
    const rows = await this.#lookups.resourceTags(lookup, resIds);
    const found = grouped(rows, ({ resId }) => resId);
    const sets = (): Map<string, Set<string>> =>
      new Map(resIds.map((resId) => [resId, new Set(found.get(resId))]));
    const [before, after] = [sets(), sets()];
    for (const { resId, tagId, added } of this.#resources) put(after.get(resId), tagId, added);
    for (const { resId, tagId, added } of this.#resources.toReversed()) put(before.get(resId), tagId, !added);
    const now = await this.#labels(lookup, after);
    const old = await this.#labels(lookup, before);
    return new Map(resIds.map((id) => [id, { now: now.get(id) ?? '', before: old.get(id) ?? '' }]));
  }

  async #labels(lookup: Lookup, tags: ReadonlyMap<string, Iterable<string>>): Promise<Map<string, string>> {
    const ids = [...tags].map(([key, some]) => [key, [...some]] as const);
    await this.#definitions.require(
      lookup,
      ids.flatMap(([, some]) => some),
    );
    return new Map(ids.map(([key, some]) => [key, this.#definitions.labels(some)]));
  }
}

function put(tags: Set<string> | undefined, tagId: string, isThere: boolean): void {
  if (isThere) tags?.add(tagId);
  else tags?.delete(tagId);
}

/** Returns ids of tags by key. */
function grouped<T extends ResourceTag>(
  tags: readonly T[],
  keyOf: (tag: T) => string,
): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const tag of tags) {
    const ids = found.get(keyOf(tag));
    if (ids) ids.push(tag.tagId);
    else found.set(keyOf(tag), [tag.tagId]);
  }
  return found;
}
