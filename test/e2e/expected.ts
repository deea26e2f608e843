import assert from 'node:assert/strict';
import { keyId } from '../../src/capture/read-row.ts';
import type { Change, Ledger, Place } from './ledger.ts';
import type { Received } from './one-export.ts';

export interface Range {
  /** undefined = no _since. */
  readonly since: Place | undefined;
  readonly cut: Place;
  /** Empty = every type. */
  readonly types: readonly string[];
}

/** Compares an export with what the oracle says of the same range: I1, I2 and I3. */
export async function assertExact(ledger: Ledger, range: Range, received: Received): Promise<void> {
  const { since, cut, types } = range;
  // A place is that of a kick-off or an instant and so of no change: after it is from its number on.
  const all = await ledger.lastChanges(since ?? 0, cut);
  const changes = all.filter(({ type }) => types.length === 0 || types.includes(type));
  const live = changes.filter((change) => change.live);
  const output = live.filter(({ bad }) => !bad).map(lineOf);
  const errors = live.filter(({ bad }) => bad).map(keyOf);
  const { loadedAt = 0 } = ledger;
  const gone =
    since === undefined ? [] : changes.filter(({ live, place }) => !live && place >= loadedAt).map(keyOf);
  // What can no longer be exported has to go where it was; to name it where it was not does no harm.
  const before = since === undefined ? [] : await ledger.lastChanges(0, since);
  const had = new Set(before.filter(({ live, bad }) => live && !bad).map(keyOf));
  const named = new Set(received.deleted);
  const deleted = [
    ...gone,
    ...errors.filter((key) => since !== undefined && (had.has(key) || named.has(key))),
  ];
  const names = new Map(changes.map((change) => [lineOf(change), keyOf(change)]));
  const differences = [
    ...differencesOf('output', output, received.output, names),
    ...differencesOf('deleted', deleted, received.deleted),
    ...differencesOf('error', errors, received.errors),
  ];
  const early = since !== undefined && since < loadedAt;
  for (const warning of received.warnings)
    if (!early || !warning.startsWith('_since')) differences.push(`warning ${warning}`);
  if (differences.length > 0) {
    const some = (await Promise.all(differences.slice(0, 20).map((one) => ledger.explain(one)))).join('\n');
    assert.fail(`${differences.length} differences, cut at ${cut}, since ${since}:\n${some}`);
  }
}

/** Of two lists, each with its repetitions, without regard to order. */
function differencesOf(
  what: string,
  expected: readonly string[],
  actual: readonly string[],
  names?: ReadonlyMap<string, string>,
): string[] {
  const counts = new Map<string, number>();
  for (const one of expected) counts.set(one, (counts.get(one) ?? 0) + 1);
  for (const one of actual) counts.set(one, (counts.get(one) ?? 0) - 1);
  return [...counts].flatMap(([one, count]) => {
    if (count === 0) return [];
    const name = names?.get(one) ?? one;
    return [count > 0 ? `${what} lacks ${name}` : `${what} has ${name} ${-count} times too often`];
  });
}

function lineOf({ type, sha }: Change): string {
  return `${type} ${sha}`;
}

function keyOf({ type, id }: Change): string {
  return `${type}/${keyId(id)}`;
}
