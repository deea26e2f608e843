import { HeadwaterError } from '../base/errors.ts';
import { CLOSE_BRACE, CLOSE_BRACKET, COLON, COMMA, OPEN_BRACE, OPEN_BRACKET, QUOTE } from './json-scan.ts';
import { nameOf, notJson, skipSpace, skipString, skipValue } from './json-scan.ts';
import type { Member, Span } from './json-scan.ts';
import type { Splice } from './splice.ts';

/** An object with any other member is no Reference: it may be a Coding, whose display describes no person. */
const REFERENCE_MEMBERS: ReadonlySet<string> = new Set([
  'id',
  'extension',
  'reference',
  'type',
  'identifier',
  'display',
]);
const MAX_DEPTH = 100;

/** Copies a value without the displays of References, at any depth. */
export function copyWithoutDisplays(splice: Splice, bytes: Buffer, value: Span): void {
  let at = value.start;
  for (const { start, end } of displaysIn(bytes, value)) {
    if (start < at) continue; // in a display that is removed
    splice.copyRange(at, start);
    at = end;
  }
  splice.copyRange(at, value.end);
}

/** Returns what has to go, in its order, with one of the commas around it. One walk finds it: most values have none. */
export function displaysIn(bytes: Buffer, value: Span): readonly Span[] {
  const walk = new Walk(bytes, value);
  walk.value(value.start, 0);
  return walk.found.sort((a, b) => a.start - b.start);
}

export function isReference(members: readonly Member[]): boolean {
  return members.every((member) => REFERENCE_MEMBERS.has(elementOf(member.name)));
}

export function isDisplay({ name }: Member): boolean {
  return elementOf(name) === 'display';
}

/** Returns the name of the element; a primitive has a second member, `_name`. */
function elementOf(name: string): string {
  return name.startsWith('_') ? name.slice(1) : name;
}

export function checkDepth(depth: number): void {
  if (depth > MAX_DEPTH) throw new HeadwaterError('corrupt', 'it is nested too deep to be redacted');
}

class Walk {
  readonly found: Span[] = [];
  readonly #bytes: Buffer;
  readonly #start: number;
  readonly #end: number;

  constructor(bytes: Buffer, { start, end }: Span) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
  }

  /** Returns where the value ends. */
  value(at: number, depth: number): number {
    const bytes = this.#bytes;
    checkDepth(depth);
    if (bytes[at] === OPEN_BRACE) return this.#object(at, depth);
    return bytes[at] === OPEN_BRACKET ? this.#array(at, depth) : skipValue(bytes, at, this.#end);
  }

  #object(open: number, depth: number): number {
    const bytes = this.#bytes;
    let from = open + 1;
    let at = this.#space(from);
    if (bytes[at] === CLOSE_BRACE) return at + 1;
    let isReference = true;
    let stays = false;
    let displays: Span[] | undefined;
    for (;;) {
      if (bytes[at] !== QUOTE) throw notJson(at - this.#start);
      const nameEnd = skipString(bytes, at, this.#end);
      // After one other name no further one matters.
      const element = isReference ? elementOf(nameOf(bytes, at, nameEnd)) : '';
      isReference &&= REFERENCE_MEMBERS.has(element);
      at = this.#space(nameEnd);
      if (bytes[at] !== COLON) throw notJson(at - this.#start);
      at = this.#space(this.value(this.#space(at + 1), depth + 1));
      const isLast = bytes[at] === CLOSE_BRACE;
      if (!isLast && bytes[at] !== COMMA) throw notJson(at - this.#start);
      if (element !== 'display') stays = true;
      else (displays ??= []).push({ start: stays ? from - 1 : from, end: stays || isLast ? at : at + 1 });
      if (isLast) break;
      from = ++at;
      at = this.#space(at);
    }
    if (isReference && displays) this.found.push(...displays);
    return at + 1;
  }

  #array(open: number, depth: number): number {
    const bytes = this.#bytes;
    let at = this.#space(open + 1);
    if (bytes[at] === CLOSE_BRACKET) return at + 1;
    for (;;) {
      at = this.#space(this.value(at, depth + 1));
      if (bytes[at] === CLOSE_BRACKET) return at + 1;
      if (bytes[at] !== COMMA) throw notJson(at - this.#start);
      at = this.#space(at + 1);
    }
  }

  #space(at: number): number {
    return skipSpace(this.#bytes, at, this.#end);
  }
}
