import { HeadwaterError } from '../../base/errors.ts';
import type { References } from '../reference.ts';
import type { Leaf } from './search-parameters.ts';

/** One of the values of a search, still with its escapes. */
export interface SearchValue {
  readonly text: string;
  /** `Type?parameter`, for messages. */
  readonly label: string;
  readonly modifier: string | undefined;
  readonly leaves: readonly Leaf[];
  readonly targets: readonly string[] | undefined;
  /** Resolves references. */
  readonly references: References;
}

/** Does a value found in a resource match? */
export type LeafTest = (found: unknown) => boolean;

export function refuse(message: string): never {
  throw new HeadwaterError('bad-request', `_typeFilter: ${message}`, { subject: '_typeFilter' });
}

/** Splits where the separator stands without a backslash; the parts keep their escapes. */
export function splitUnescaped(text: string, separator: ',' | '|' | '$'): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === separator) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...parts, text.slice(start)];
}

/** Resolves R4's escapes `\,` `\|` `\$` and `\\`; a backslash before anything else is a backslash. */
export function unescapeValue(text: string): string {
  return text.replace(/\\([,|$\\])/g, '$1');
}
