/** A closed interval: of ms since 1970, or of numbers. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

export type Prefix = 'eq' | 'ne' | 'gt' | 'lt' | 'ge' | 'le' | 'sa' | 'eb' | 'ap';

const PREFIXES: ReadonlySet<string> = new Set(['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap']);

/** The prefix of an ordered value, `eq` when it has none, and the rest; undefined for two letters that are no prefix. */
export function splitPrefix(text: string): { readonly prefix: Prefix; readonly rest: string } | undefined {
  const letters = /^[A-Za-z]{2}/.exec(text)?.[0];
  if (letters === undefined) return { prefix: 'eq', rest: text };
  return isPrefix(letters) ? { prefix: letters, rest: text.slice(2) } : undefined;
}

/**
 * How a target, what a resource has, stands to a search value (https://hl7.org/fhir/R4/search.html#prefix). `ge` and `le` also
 * take a target that merely reaches into the search value, as servers do: a stay from December into January is `ge` that year.
 */
export function compare(prefix: Prefix, target: Interval, search: Interval): boolean {
  switch (prefix) {
    case 'eq':
      return target.low >= search.low && target.high <= search.high;
    case 'ne':
      return target.low < search.low || target.high > search.high;
    case 'gt':
      return target.high > search.high;
    case 'lt':
      return target.low < search.low;
    case 'ge':
      return target.high >= search.low;
    case 'le':
      return target.low <= search.high;
    case 'sa':
      return target.low > search.high;
    case 'eb':
      return target.high < search.low;
    case 'ap':
      return target.high >= search.low && target.low <= search.high;
  }
}

function isPrefix(letters: string): letters is Prefix {
  return PREFIXES.has(letters);
}
