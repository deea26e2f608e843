import { createHash } from 'node:crypto';

/** Version of a resource after a transaction; null if the transaction deleted it. */
export type Changes = ReadonlyMap<string, number | null>;

/** Every transaction writes this resource with its own number as the version, so the version in an export shows its cut. */
export const MARKER = 'Basic/marker';

/** Number of repeats of the filler, by prefix of the id. It sets the size of a resource. */
const REPEATS: readonly (readonly [prefix: string, repeats: number])[] = [
  ['big-', 90],
  ['huge-', 160_000],
  ['', 2],
];

export function repeatsOf(id: string): number {
  return REPEATS.find(([prefix]) => id.startsWith(prefix))?.[1] ?? 1;
}

/** The text that the database function `fault_body` makes. Any other text in an export is wrong. */
export function bodyOf(key: string, version: number): string {
  const [type = '', id = ''] = key.split('/');
  const filler = createHash('md5').update(`${key}/${version}`).digest('hex').repeat(repeatsOf(id));
  return `{"resourceType":"${type}","id":"${id}","meta":{"versionId":"${version}"},"text":{"div":"${filler}"}}`;
}

export const BODY_FUNCTION = `
  CREATE FUNCTION fault_body(type text, id text, version bigint, repeats int) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT format('{"resourceType":"%s","id":"%s","meta":{"versionId":"%s"},"text":{"div":"%s"}}',
      type, id, version, repeat(md5(type || '/' || id || '/' || version), repeats)) $$`;

/** The transactions that one writer committed, in order: the oracle of every export. */
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

  /** The keys that the transactions after the nth, up to the mth, changed, with their last version. */
  changes(n: number, m: number): Map<string, number | null> {
    const changed = new Map<string, number | null>();
    for (const changes of this.#transactions.slice(n, m)) {
      for (const [key, version] of changes) changed.set(key, version);
    }
    return changed;
  }
}
