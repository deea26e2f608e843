import { createHash } from 'node:crypto';

/** Version of a resource after a transaction; null when the transaction deleted it. */
export type Changes = ReadonlyMap<string, number | null>;

/** In every transaction, with the transaction's number as its version: so an export tells of itself where its cut fell. */
export const MARKER = 'Basic/marker';

/** How often the filler is repeated, by the beginning of the id: how large a resource is. */
const REPEATS: readonly (readonly [prefix: string, repeats: number])[] = [
  ['big-', 90],
  ['huge-', 160_000],
  ['', 2],
];

export function repeatsOf(id: string): number {
  return REPEATS.find(([prefix]) => id.startsWith(prefix))?.[1] ?? 1;
}

/** The same text as the database's own `fault_body` makes; whatever else comes out of an export is wrong. */
export function bodyOf(key: string, version: number): string {
  const [type = '', id = ''] = key.split('/');
  const filler = createHash('md5').update(`${key}/${version}`).digest('hex').repeat(repeatsOf(id));
  return `{"resourceType":"${type}","id":"${id}","meta":{"versionId":"${version}"},"text":{"div":"${filler}"}}`;
}

export const BODY_FUNCTION = `
  CREATE FUNCTION fault_body(type text, id text, version bigint, repeats int) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT format('{"resourceType":"%s","id":"%s","meta":{"versionId":"%s"},"text":{"div":"%s"}}',
      type, id, version, repeat(md5(type || '/' || id || '/' || version), repeats)) $$`;

/** What one writer committed, in order: the oracle of every export. */
export class History {
  readonly #transactions: Changes[] = [];

  /** Number of the last transaction; the first is 1. */
  get length(): number {
    return this.#transactions.length;
  }

  committed(changes: Changes): void {
    this.#transactions.push(changes);
  }

  /** Every live resource and its version after the nth transaction. */
  stateAfter(n: number): Map<string, number> {
    const state = new Map<string, number>();
    for (const [key, version] of this.changes(0, n)) if (version !== null) state.set(key, version);
    return state;
  }

  /** What the transactions after the nth changed, up to the mth, each key with what became of it. */
  changes(n: number, m: number): Map<string, number | null> {
    const changed = new Map<string, number | null>();
    for (const changes of this.#transactions.slice(n, m)) {
      for (const [key, version] of changes) changed.set(key, version);
    }
    return changed;
  }
}
