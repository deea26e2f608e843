import { HeadwaterError } from '../base/errors.ts';

/** Bytes [start, end). */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A member of an object; its span is everything between two commas, white space included. */
export interface Member extends Span {
  /** Escapes are resolved: `"\u0069d"` is `id`. A name with letters outside of ASCII is never one of FHIR's, and is not decoded. */
  readonly name: string;
  readonly value: Span;
}

export const QUOTE = 0x22;
const BACKSLASH = 0x5c;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;
export const OPEN_BRACKET = 0x5b;
export const CLOSE_BRACKET = 0x5d;

/*
 * Finds where the parts of JSON text begin and end, so that they can be copied as they are: numbers keep their digits, strings their
 * escapes. It looks at bytes, never recurses, and takes any depth. It relies on capture, which stores no text that JSON.parse
 * refuses: it checks what it must to find its way, and throws `corrupt` where it cannot.
 */

/** The members of the object that is the whole text, in their order, duplicates included. */
export function membersOf(bytes: Buffer, { start, end }: Span): Member[] {
  const members: Member[] = [];
  let at = skipSpace(bytes, start, end);
  if (bytes[at] !== OPEN_BRACE) throw notJson(at - start);
  let from = ++at;
  at = skipSpace(bytes, at, end);
  while (bytes[at] !== CLOSE_BRACE || members.length > 0) {
    if (bytes[at] !== QUOTE) throw notJson(at - start);
    const nameEnd = skipString(bytes, at, end);
    const name = nameOf(bytes, at, nameEnd);
    at = skipSpace(bytes, nameEnd, end);
    if (bytes[at] !== COLON) throw notJson(at - start);
    const valueStart = skipSpace(bytes, at + 1, end);
    const valueEnd = skipValue(bytes, valueStart, end);
    at = skipSpace(bytes, valueEnd, end);
    members.push({ name, start: from, end: at, value: { start: valueStart, end: valueEnd } });
    if (bytes[at] === CLOSE_BRACE) break;
    if (bytes[at] !== COMMA) throw notJson(at - start);
    from = ++at;
    at = skipSpace(bytes, at, end);
  }
  checkEnd(bytes, at + 1, { start, end });
  return members;
}

/** Parses the members of these names of the object that is the whole text, and no others. Of several of a name it takes the last one. */
export function parseMembers(bytes: Buffer, text: Span, names: ReadonlySet<string>): Record<string, unknown> {
  const parsed: Record<string, unknown> = {};
  for (const { name, value } of membersOf(bytes, text))
    if (names.has(name)) parsed[name] = parseOf(bytes, value);
  return parsed;
}

/** The items of the array that is the whole text, without the white space around them. */
export function itemsOf(bytes: Buffer, { start, end }: Span): Span[] {
  const items: Span[] = [];
  let at = skipSpace(bytes, start, end);
  if (bytes[at] !== OPEN_BRACKET) throw notJson(at - start);
  at = skipSpace(bytes, at + 1, end);
  while (bytes[at] !== CLOSE_BRACKET || items.length > 0) {
    const itemEnd = skipValue(bytes, at, end);
    items.push({ start: at, end: itemEnd });
    at = skipSpace(bytes, itemEnd, end);
    if (bytes[at] === CLOSE_BRACKET) break;
    if (bytes[at] !== COMMA) throw notJson(at - start);
    at = skipSpace(bytes, at + 1, end);
  }
  checkEnd(bytes, at + 1, { start, end });
  return items;
}

/** The strings anywhere in a text, names of members included, with their quotes. */
export function* stringsOf(bytes: Buffer, { start, end }: Span): Generator<Span> {
  for (let at = start; at < end; at++) {
    if (bytes[at] !== QUOTE) continue;
    const stringEnd = skipString(bytes, at, end);
    yield { start: at, end: stringEnd };
    at = stringEnd - 1;
  }
}

export function isObjectAt(bytes: Buffer, { start }: Span): boolean {
  return bytes[start] === OPEN_BRACE;
}

export function isStringAt(bytes: Buffer, { start }: Span): boolean {
  return bytes[start] === QUOTE;
}

export function isArrayAt(bytes: Buffer, { start }: Span): boolean {
  return bytes[start] === OPEN_BRACKET;
}

function checkEnd(bytes: Buffer, at: number, { start, end }: Span): void {
  if (at > end || skipSpace(bytes, at, end) !== end) throw notJson(Math.min(at, end) - start);
}

export function skipSpace(bytes: Buffer, at: number, end: number): number {
  while (at < end && isSpace(bytes[at])) at++;
  return at;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

export function skipValue(bytes: Buffer, start: number, end: number): number {
  const first = bytes[start];
  if (first === QUOTE) return skipString(bytes, start, end);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return skipWord(bytes, start, end);
  let depth = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === QUOTE) at = skipString(bytes, at, end) - 1;
    else if (byte < OPEN_BRACKET)
      continue; // most of what is between strings
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    else if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && --depth === 0) return at + 1;
  }
  throw notJson(end - start);
}

export function skipString(bytes: Buffer, start: number, end: number): number {
  for (let at = start + 1; at < end; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) return at + 1;
    if (byte === BACKSLASH) at++;
  }
  throw notJson(end - start);
}

/** A number, true, false or null. */
function skipWord(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && isOfWord(bytes[at])) at++;
  if (at === start) throw notJson(0);
  return at;
}

function isOfWord(byte: number | undefined): boolean {
  return (
    byte !== undefined &&
    ((byte >= 0x30 && byte <= 0x39) ||
      (byte >= 0x61 && byte <= 0x7a) ||
      byte === 0x45 ||
      byte === 0x2b ||
      byte === 0x2d ||
      byte === 0x2e)
  );
}

/** Names met before, by a hash: FHIR has a few hundred, and a new string for each member would cost more than finding it. */
const KNOWN_NAMES: string[] = new Array<string>(1 << 11).fill('');

export function nameOf(bytes: Buffer, start: number, end: number): string {
  const from = start + 1;
  const length = end - 1 - from;
  let hash = length;
  for (let i = 0; i < length; i++) hash = (Math.imul(hash, 31) + (bytes[from + i] as number)) | 0;
  const slot = (hash ^ (hash >>> 11)) & (KNOWN_NAMES.length - 1);
  const known = KNOWN_NAMES[slot] as string;
  if (isTextAt(bytes, from, length, known)) return known;
  const text = bytes.toString('latin1', from, end - 1);
  if (text.includes('\\')) return textOf(bytes, { start, end });
  if (length <= MAX_KNOWN) KNOWN_NAMES[slot] = text;
  return text;
}

/** Longer names are none of FHIR's. */
const MAX_KNOWN = 64;

function isTextAt(bytes: Buffer, from: number, length: number, text: string): boolean {
  if (text.length !== length) return false;
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== bytes[from + i]) return false;
  return true;
}

/** Returns the text of a JSON string, with its escapes resolved. */
export function textOf(bytes: Buffer, { start, end }: Span): string {
  return String(parseOf(bytes, { start, end }));
}

/** The value of a small part. */
export function parseOf(bytes: Buffer, { start, end }: Span): unknown {
  try {
    return JSON.parse(bytes.toString('utf8', start, end));
  } catch (cause) {
    // The error of JSON.parse quotes the text.
    throw new HeadwaterError('corrupt', 'a part of it is not JSON', { cause: (cause as Error).name });
  }
}

export function notJson(at: number): HeadwaterError {
  return new HeadwaterError('corrupt', `it is not JSON at byte ${at}`);
}
