import { parseLsn } from '../base/positions.ts';
import type { CoverageFact, Position, TopicState } from '../events/position.ts';
import type { Catalog } from './catalog.ts';
import { coverageGap } from './coverage.ts';
import { contains } from './timeline.ts';
import type { Timelines } from './timeline.ts';
import { topicDifference } from './topic-states.ts';

export interface PositionStore {
  /** Returns the last committed position; undefined before the first load. */
  read(): Promise<Position | undefined>;
  readonly topic: string;
  /** The key of the records of the position. The log has one position, whichever slot it belongs to. */
  readonly key: string;
  encode(position: Position): Buffer;
}

/** A position as a record for the log. */
export function positionRecord(
  { key, encode }: Pick<PositionStore, 'key' | 'encode'>,
  position: Position,
  timestamp: number,
): { timestamp: number; key: Buffer; value: Buffer } {
  return { timestamp, key: Buffer.from(key), value: encode(position) };
}

/** The facts that decide whether capture may start. */
export interface StartFacts {
  readonly stored: Position | undefined;
  /** The resource topics that exist. */
  readonly topics: readonly TopicState[];
  readonly prefix: string;
  readonly slot: string;
  readonly catalog: Pick<Catalog, 'systemId' | 'slot' | 'walEnd'>;
}

/** The facts that decide how capture starts, once position, log and source belong together. */
export interface StreamFacts extends StartFacts {
  readonly timelines: Timelines;
  readonly coverage: readonly CoverageFact[];
}

export type Start =
  /** Load into emptied topics. */
  | { readonly mode: 'first-load'; readonly reason: string }
  /** The slot lacks changes since the position: load again as updates, and write deletes for resources that have gone. */
  | { readonly mode: 'reload'; readonly reason: string }
  | { readonly mode: 'stream'; readonly reason: string };

export type StartMode = Start['mode'];

const RELOAD = 'headwater reload loads everything again';
const RESET = 'headwater reset deletes the resource topics and loads them again';

/**
 * Returns the reason why capture must not change the log or the slot, as one line with the command to run; undefined if it may.
 *
 * | # | stored position        | otherwise                                | refused |
 * |---|------------------------|------------------------------------------|---------|
 * | 1 | none                   | resource topics hold records             | yes     |
 * | 2 | none                   | there is such a slot                     | yes     |
 * | 3 | none                   |                                          | no      |
 * | 4 | of another slot, or database |                                    | yes     |
 * | 5 | first load pending     |                                          | no      |
 * | 6 | any                    | topics are not those of the position     | yes     |
 */
export function refusalOf({ stored, topics, prefix, slot, catalog }: StartFacts): string | undefined {
  if (!stored) {
    const full = topics.find(({ ends }) => ends.some((end) => end > 0));
    if (full)
      // 1
      return `the topics ${prefix}.resources.* hold records (${full.type}) but no position says where they come from; ${RELOAD}, ${RESET}; or choose another HEADWATER_TOPIC_PREFIX`;
    if (catalog.slot)
      // 2
      return `slot ${slot} exists and the log of HEADWATER_TOPIC_PREFIX=${prefix} does not know it: another installation may need it; choose another HEADWATER_SLOT, or run SELECT pg_drop_replication_slot('${slot}')`;
    return undefined; // 3
  }
  if (stored.slot !== '' && stored.slot !== slot)
    // 4
    return `the log of HEADWATER_TOPIC_PREFIX=${prefix} follows slot ${stored.slot}, and HEADWATER_SLOT is ${slot}; set it back, or choose another prefix; to go on with this slot, ${RELOAD}`;
  if (stored.systemId !== '' && stored.systemId !== catalog.systemId)
    // 4
    return `the log of HEADWATER_TOPIC_PREFIX=${prefix} follows another database (${stored.systemId}) than HEADWATER_SOURCE_URL names (${catalog.systemId}); correct the URL, or choose another prefix; to go on with this database, ${RELOAD}`;
  if (stored.pending === 'first-load') return undefined; // 5
  const difference = topicDifference(stored.topics, topics);
  if (!difference) return undefined;
  return difference.keysMoved // 6
    ? `${prefix}.resources.${difference.text}; ${RESET}`
    : `${prefix}.resources.${difference.text}; ${RELOAD}, ${RESET}`;
}

/**
 * | # | stored position                              | start      |
 * |---|----------------------------------------------|------------|
 * | 1 | none, or a first load is pending             | first-load |
 * | 2 | a reload is pending, or lsn 0, or an earlier release stored it | reload |
 * | 3 | of a timeline that this server did not have up to there, or past the end of its log | reload |
 * | 4 | its slot is not there, lost, or confirmed past the position | reload |
 * | 5 | what was proved of the source does not hold  | reload     |
 * | 6 | otherwise                                    | stream     |
 */
export function startOf({ stored, catalog, timelines, coverage }: StreamFacts): Start {
  if (!stored) return { mode: 'first-load', reason: 'the log is empty' }; // 1
  if (stored.pending === 'first-load') return { mode: 'first-load', reason: 'a first load is pending' }; // 1
  const reload = (reason: string): Start => ({ mode: 'reload', reason });
  if (stored.pending === 'reload' || stored.lsn === 0n) return reload('a reload is pending'); // 2
  if (stored.coverage.length === 0)
    return reload('an earlier release stored the position without saying what it covers'); // 2
  if (!contains(timelines, stored))
    // 3
    return reload(
      `the source was promoted to timeline ${timelines.current}, and the log may hold changes that it never had`,
    );
  if (parseLsn(catalog.walEnd) < stored.lsn)
    return reload("the source's write-ahead log ends before the position: it was set back"); // 3
  const { slot } = catalog;
  if (!slot) return reload('the slot is gone'); // 4
  if (slot.lost) return reload('PostgreSQL has dropped log that the slot still needed'); // 4
  if (parseLsn(slot.confirmed) > stored.lsn) return reload('the slot is past the position'); // 4
  const gap = coverageGap(stored.coverage, coverage);
  if (gap !== undefined) return reload(`${gap} was changed or made again`); // 5
  return { mode: 'stream', reason: 'the position and the slot fit' }; // 6
}
