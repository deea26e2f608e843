import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import type { Cohort } from '../cohort/cohort.ts';
import type { OffsetRange, TypeRange } from '../events/tasks.ts';
import { hash32 } from '../base/hash32.ts';
import { UNKNOWN_PATIENT } from '../events/zone.ts';
import type { Zone } from '../events/zone.ts';
import type { LogReader } from '../log/log.ts';

/** A shorter gap is read, because that costs less than a new read behind it. */
const LEAST_GAP_BYTES = 256 << 10;
const UNKNOWN = hash32(UNKNOWN_PATIENT);
/** If a larger part of a range must be read, it is read whole. Where the resources of patients are mixed, that is as fast. */
const WORTHWHILE_SHARE = 0.5;
/** The most gaps of a range, because a task carries them. */
const MAX_GAPS = 1_000;

/** The patients that may be in a zone: `movers` have joined or left since `since`. */
type Presence = 'none' | 'others' | 'movers';

/** Decides which patients of a cohort may be in a zone. */
export class ZoneFilter {
  readonly #anybody: ReadonlySet<number> | undefined;
  readonly #movers: ReadonlySet<number> = new Set();
  readonly #since: ReadonlyMap<string, readonly Offset[]>;

  /**
   * @param members undefined = every patient, and so for `before`
   * @param since first offset behind `since`, by type, then partition; empty without one
   */
  constructor(
    { members, before }: Pick<Cohort, 'members' | 'before'>,
    since: ReadonlyMap<string, readonly Offset[]>,
  ) {
    this.#since = since;
    if (!members || !before) return;
    this.#anybody = hashes([...members, ...before]);
    this.#movers = hashes([
      ...[...members].filter((id) => !before.has(id)),
      ...[...before].filter((id) => !members.has(id)),
    ]);
  }

  presence({ patients }: Zone): Presence {
    if (patients.includes(UNKNOWN)) return 'movers'; // the patients of the zone are unknown
    if (this.#anybody && !patients.some((hash) => this.#anybody?.has(hash))) return 'none';
    return patients.some((hash) => this.#movers.has(hash)) ? 'movers' : 'others';
  }

  /** Returns true if the zone is older than `since`: the client then has its records, except those of movers. */
  isOld({ type, partition, to }: Zone): boolean {
    const since = this.#since.get(type)?.[partition];
    return since !== undefined && to <= since;
  }
}

function hashes(ids: readonly string[]): ReadonlySet<number> {
  return new Set(ids.map(hash32));
}

/** The stretches of the resource topics that are about no patient of a cohort, by type and partition. */
export class ZoneGaps {
  readonly #empty = new Map<string, OffsetRange[]>();
  readonly #known = new Map<string, OffsetRange[]>();

  /** Reads the zones that the log holds now. Zones written after the cut do no harm. */
  static async read(
    log: {
      readonly reader: Pick<LogReader, 'ends' | 'offsetsAt' | 'read'>;
      readonly decode: (value: Buffer) => Zone;
      readonly topic: string;
    },
    filter: ZoneFilter,
    signal: AbortSignal,
  ): Promise<ZoneGaps> {
    const { reader, decode, topic } = log;
    const found = new ZoneGaps();
    const [starts, ends] = await Promise.all([reader.offsetsAt(topic, 0), reader.ends(topic)]);
    await Promise.all(
      ends.map(async (to, partition) => {
        const range = { topic, partition, from: starts[partition] ?? offset(0), to };
        for await (const records of reader.read(range, signal)) {
          for (const { value } of records) {
            const zone = decode(value);
            const presence = filter.presence(zone);
            if (presence === 'none') add(found.#empty, zone);
            if (presence === 'none' || (presence === 'others' && filter.isOld(zone))) add(found.#known, zone);
          }
        }
      }),
    );
    return found;
  }

  /** Returns the stretches of a range to skip, since they are about no patient of the cohort. */
  empty(range: TypeRange, meanBytes: number): readonly OffsetRange[] {
    return worthwhile(this.#empty, range, meanBytes);
  }

  /** Returns the stretches of a range to skip, since the client lacks nothing of the patients there. */
  known(range: TypeRange, meanBytes: number): readonly OffsetRange[] {
    return worthwhile(this.#known, range, meanBytes);
  }
}

type Gaps = Map<string, OffsetRange[]>;

function worthwhile(all: Gaps, range: TypeRange, meanBytes: number): OffsetRange[] {
  const least = LEAST_GAP_BYTES / Math.max(1, meanBytes);
  const inside = merged(all.get(`${range.type}/${range.partition}`) ?? []).flatMap(({ from, to }) => {
    const start = Math.max(from, range.from);
    const end = Math.min(to, range.to);
    return end - start >= least ? [{ from: offset(start), to: offset(end) }] : [];
  });
  const left = inside.reduce((offsets, gap) => offsets - (gap.to - gap.from), range.to - range.from);
  if (left > WORTHWHILE_SHARE * (range.to - range.from)) return [];
  if (inside.length <= MAX_GAPS) return inside;
  const longest = inside.toSorted((a, b) => b.to - b.from - (a.to - a.from)).slice(0, MAX_GAPS);
  return longest.sort((a, b) => a.from - b.from);
}

function add(all: Gaps, { type, partition, from, to }: Zone): void {
  const place = `${type}/${partition}`;
  const gaps = all.get(place) ?? [];
  const last = gaps.at(-1);
  if (last && from === last.to) gaps[gaps.length - 1] = { from: last.from, to };
  else gaps.push({ from, to });
  all.set(place, gaps);
}

function merged(gaps: readonly OffsetRange[]): OffsetRange[] {
  const sorted = gaps.toSorted((a, b) => a.from - b.from);
  const result: OffsetRange[] = [];
  for (const gap of sorted) {
    const last = result.at(-1);
    if (last && gap.from <= last.to)
      result[result.length - 1] = { from: last.from, to: offset(Math.max(last.to, gap.to)) };
    else result.push(gap);
  }
  return result;
}
