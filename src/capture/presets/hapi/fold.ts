import { HeadwaterError } from '../../../base/errors.ts';
import { isCompartmentType } from '../../../fhir/patient-compartment.ts';
import type { Relation, Tuple } from '../../pgoutput.ts';
import type { FollowedTable, Lookup, RowChange, TransactionFold } from '../preset.ts';
import type { SourceRow } from '../source-row.ts';
import { versionKey } from './lookups.ts';
import type { HapiLookups } from './lookups.ts';
import { resourceRow, resourceTag, tagDefinition, tagRow, TupleReader, versionRow } from './rows.ts';
import type { ResourceRow, VersionRow } from './rows.ts';
import { TABLES } from './tables.ts';
import type { TableName } from './tables.ts';
import type { TagDefinitions } from './tag-definitions.ts';
import { LABELS_IN_BODY, TransactionTags } from './transaction-tags.ts';
import type { Labels } from './transaction-tags.ts';
import { lostRow, versionAsRow } from './versions.ts';
import type { HapiReading } from './versions.ts';

/** A row of hfj_resource before the transaction's first change of it, and after its last one. */
interface ChangedResource {
  readonly before: ResourceRow | undefined;
  readonly after: ResourceRow | undefined;
}

/** A row of hfj_res_ver that the transaction wrote. */
interface WrittenVersion {
  readonly old: VersionRow | undefined;
  readonly row: VersionRow;
}

interface FoldParts {
  readonly lookups: HapiLookups;
  readonly definitions: TagDefinitions;
  readonly reading: HapiReading;
  /** Tags are in tables; otherwise the body holds them. */
  readonly hasTags: boolean;
  /** All tags of a version are in the transaction that inserts it; otherwise only those that the resource gains or loses. */
  readonly versionsHaveTags?: boolean;
}

/**
 * Joins the rows that one transaction of HAPI writes: the resource (its type, id and current version), its versions (their bodies) and
 * their tags. Hibernate flushes inserts, then updates, then deletes, and a bundle may flush several times, so no order is assumed.
 *
 * | # | rows in the transaction                                        | change                                    |
 * |---|----------------------------------------------------------------|-------------------------------------------|
 * | 1 | a version inserted, or updated to another number (history off) | to that version, one after another        |
 * | 2 | a version updated, same number                                 | rewritten, if it is the current one       |
 * | 3 | a version updated from a large object to a text                | nothing: the same body in another place   |
 * | 4 | the resource deleted (expunged) that was alive                 | delete                                    |
 * | 5 | a version deleted                                              | nothing                                   |
 * | 6 | tags, or the time, of a resource without a version             | other meta of the current version         |
 * | 7 | anything else of the resource (flags of an index)              | nothing                                   |
 */
export class HapiFold implements TransactionFold {
  readonly #parts: FoldParts;
  readonly #readers = new Map<number, TupleReader>();
  #resources = new Map<string, ChangedResource>();
  /** The versions by pid, in the order of their first row. */
  #versions = new Map<string, WrittenVersion>();
  #removed = new Map<string, VersionRow>();
  readonly #tags: TransactionTags;
  /** Resources of this transaction with a version whose changes are out already, by res_id. */
  #done = new Set<string>();
  #held = 0;

  constructor(parts: FoldParts) {
    this.#parts = parts;
    this.#tags = new TransactionTags(parts.lookups, parts.definitions);
  }

  get held(): number {
    return this.#held;
  }

  describe(relation: Relation, { table }: FollowedTable): void {
    if (!(table in TABLES)) throw new HeadwaterError('internal', `${table} is not a table of HAPI`);
    this.#readers.set(relation.oid, new TupleReader(relation, table as TableName));
  }

  add(oid: number, old: Tuple | undefined, row: Tuple | undefined): readonly RowChange[] {
    const reader = this.#readers.get(oid);
    if (!reader) return [];
    const before = old && reader.read(old);
    const after = row && reader.read(row, old);
    switch (reader.table) {
      case 'hfj_resource':
        this.#addResource(before && resourceRow(before), after && resourceRow(after));
        break;
      case 'hfj_res_ver':
        this.#addVersion(
          before && old && versionRow(before, reader.body(old)),
          after && row && versionRow(after, reader.body(row, old)),
        );
        break;
      case 'hfj_res_tag':
        this.#tags.changeOfResource(before && resourceTag(before), after && resourceTag(after));
        break;
      case 'hfj_history_tag':
        this.#tags.changeOfVersion(before && tagRow(before), after && tagRow(after));
        break;
      case 'hfj_tag_def':
        if (after) this.#parts.definitions.add(tagDefinition(after));
    }
    return [];
  }

  async complete(lookup: Lookup, isEnd: boolean): Promise<readonly RowChange[]> {
    const written = await this.#written(lookup, isEnd);
    for (const { row } of this.#versions.values()) this.#done.add(row.resId);
    const changes = [...written, ...(await this.#relabelled(lookup, isEnd))];
    // Deletes come first: the id of an expunged resource may belong to a new one in the same transaction.
    const all = [...(await this.#expunged(lookup)), ...changes];
    // Tags of a resource may come before its version.
    this.#tags.keep(({ resId }) => !isEnd && !this.#done.has(resId));
    if (isEnd) this.#done = new Set();
    this.#resources = new Map();
    this.#versions = new Map();
    this.#removed = new Map();
    this.#held = 0;
    return all;
  }

  #addResource(before: ResourceRow | undefined, after: ResourceRow | undefined): void {
    const key = (before ?? after)?.resId ?? '';
    const known = this.#resources.get(key);
    this.#resources.set(key, { before: known ? known.before : before, after });
  }

  #addVersion(old: VersionRow | undefined, row: VersionRow | undefined): void {
    if (!row) {
      if (old) this.#removed.set(versionKey(old), old); // 5
      return;
    }
    const known = this.#versions.get(row.pid); // a version may be inserted, and updated by a later flush
    this.#versions.set(row.pid, { old: known ? known.old : old, row });
    this.#held += (row.body?.length ?? 0) + (old?.body?.length ?? 0);
  }

  /** Rows 1 to 3. */
  async #written(lookup: Lookup, isEnd: boolean): Promise<RowChange[]> {
    const { lookups, reading } = this.#parts;
    const written = [...this.#versions.values()].filter(({ old, row }) => !isMoved(old, row));
    if (written.length === 0) return [];
    const resources = await this.#identities(
      lookup,
      written.map(({ row }) => row.resId),
    );
    const labels = await this.#labels(lookup, written, isEnd);
    const previous = await lookups.versions(lookup, this.#wantedBefore(written, resources));
    const changes: RowChange[] = [];
    const last = new Map<string, SourceRow>();
    for (const { old, row } of written) {
      const resource = resources.get(row.resId);
      if (!resource) continue; // expunged meanwhile, which its own transaction says
      const { now, before: labelsBefore } = labels.get(row.pid) ?? LABELS_IN_BODY;
      const after = versionAsRow(resource, row, now, reading);
      if (!isNewVersion(old, row)) {
        if (resource.version !== row.version || !old) continue; // 2: of an older version
        const was = this.#resources.get(row.resId)?.before ?? resource;
        changes.push({ old: versionAsRow(was, old, labelsBefore, reading), row: after });
        continue;
      }
      const before = last.get(row.resId) ?? this.#before({ old, row }, resource, previous);
      changes.push({ old: before, row: after });
      last.set(row.resId, after);
    }
    return changes;
  }

  /** Returns a resource as it was before its first new version; undefined if there was none. */
  #before(
    { old, row }: WrittenVersion,
    resource: ResourceRow,
    previous: ReadonlyMap<string, VersionRow>,
  ): SourceRow | undefined {
    const { reading } = this.#parts;
    const changed = this.#resources.get(row.resId);
    if (old) return versionAsRow(resource, old, null, reading); // history off
    const was = changed?.before;
    if (was?.deleted || (changed && !was) || row.version === '1') return undefined;
    const key = { resId: row.resId, version: was?.version ?? String(Number(row.version) - 1) };
    const version = this.#removed.get(versionKey(key)) ?? previous.get(versionKey(key));
    const named = was ?? { ...resource, version: key.version };
    return version ? versionAsRow(named, version, null, reading) : lostRow(named, reading);
  }

  /** The versions before the transaction that have to be known: those of resources that may belong to a patient. */
  #wantedBefore(
    written: readonly WrittenVersion[],
    resources: ReadonlyMap<string, ResourceRow>,
  ): { resId: string; version: string }[] {
    const wanted = new Map<string, { resId: string; version: string }>();
    for (const { old, row } of written) {
      const changed = this.#resources.get(row.resId);
      const was = changed?.before;
      if (old || wanted.has(row.resId) || (changed && !was) || was?.deleted || row.version === '1') continue;
      if (!isCompartmentType(resources.get(row.resId)?.type ?? '')) continue;
      const version = was?.version ?? String(Number(row.version) - 1);
      if (!this.#removed.has(versionKey({ resId: row.resId, version })))
        wanted.set(row.resId, { resId: row.resId, version });
    }
    return [...wanted.values()];
  }

  /** Row 4. */
  async #expunged(lookup: Lookup): Promise<RowChange[]> {
    const gone = [...this.#resources.values()].flatMap(({ before, after }) =>
      before && !after && !before.deleted ? [before] : [],
    );
    if (gone.length === 0) return [];
    const { lookups, reading } = this.#parts;
    const unknown = gone.filter((resource) => !this.#removed.has(versionKey(resource)));
    const kept = await lookups.versions(lookup, unknown);
    return gone.map((resource) => {
      const version = this.#removed.get(versionKey(resource)) ?? kept.get(versionKey(resource));
      const old = version ? versionAsRow(resource, version, null, reading) : lostRow(resource, reading);
      return { old, row: undefined };
    });
  }

  /** Row 6. */
  async #relabelled(lookup: Lookup, isEnd: boolean): Promise<RowChange[]> {
    const removed = new Set([...this.#removed.values()].map(({ pid }) => pid));
    this.#tags.keep(({ versionPid = '' }) => !removed.has(versionPid));
    const touched = isEnd ? this.#tags.touched() : new Map<string, Set<string>>();
    for (const [resId, { before, after }] of this.#resources) {
      if (!after) touched.delete(resId);
      else if (before?.version === after.version && before.updated !== after.updated && !touched.has(resId))
        touched.set(resId, new Set());
    }
    const resIds = [...touched.keys()].filter((resId) => !this.#done.has(resId));
    if (resIds.length === 0) return [];
    const { lookups, reading, hasTags } = this.#parts;
    const resources = await this.#identities(lookup, resIds);
    const current = resIds.flatMap((resId) => resources.get(resId) ?? []);
    const versions = await lookups.versions(lookup, current);
    const labels = hasTags ? await this.#tags.ofResources(lookup, resIds) : new Map<string, Labels>();
    return current.flatMap((resource) => {
      const version = versions.get(versionKey(resource));
      const pids = touched.get(resource.resId);
      if (!version || (pids?.size && !pids.has(version.pid))) return []; // tags of an older version
      const { before, now } = labels.get(resource.resId) ?? LABELS_IN_BODY;
      const was = this.#resources.get(resource.resId)?.before ?? resource;
      return [
        {
          old: versionAsRow(was, version, before, reading),
          row: versionAsRow(resource, version, now, reading),
        },
      ];
    });
  }

  /** Returns type, id and current version of resources: from the transaction, or else as the source has them. */
  async #identities(lookup: Lookup, resIds: readonly string[]): Promise<Map<string, ResourceRow>> {
    const known = new Map<string, ResourceRow>();
    for (const [resId, { before, after }] of this.#resources) {
      const row = after ?? before;
      if (row) known.set(resId, row);
    }
    const unknown = [...new Set(resIds)].filter((resId) => !known.has(resId));
    if (unknown.length === 0) return known;
    return new Map([...known, ...(await this.#parts.lookups.resources(lookup, unknown))]);
  }

  /** Returns the labels of versions that the transaction wrote, by pid. */
  async #labels(
    lookup: Lookup,
    versions: readonly WrittenVersion[],
    isEnd: boolean,
  ): Promise<Map<string, Labels>> {
    const { hasTags, versionsHaveTags = true } = this.#parts;
    if (!hasTags) return new Map();
    const isWhole = ({ old }: WrittenVersion): boolean => versionsHaveTags && !old;
    const inserted = versions.filter(isWhole).map(({ row }) => row.pid);
    const updated = versions.filter((version) => !isWhole(version)).map(({ row }) => row);
    const ofInserted = await this.#tags.ofInserted(lookup, inserted, isEnd);
    const resIds = [...new Set(updated.map(({ resId }) => resId))];
    const ofResources = await this.#tags.ofResources(lookup, resIds);
    return new Map([
      ...[...ofInserted].map(([pid, now]) => [pid, { now, before: now }] as const),
      ...updated.map(({ pid, resId }) => [pid, ofResources.get(resId) ?? LABELS_IN_BODY] as const),
    ]);
  }
}

function isNewVersion(old: VersionRow | undefined, row: VersionRow): boolean {
  return !old || old.version !== row.version;
}

/** Its body, which was in a large object, is a text now: the same one. */
function isMoved(old: VersionRow | undefined, row: VersionRow): boolean {
  return old?.version === row.version && old.body === null && row.body !== null;
}
