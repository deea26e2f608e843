import { HeadwaterError } from '../base/errors.ts';
import { copyArray, copyObject, copyParts } from './copy-parts.ts';
import { isArrayAt, isObjectAt, isStringAt, itemsOf, membersOf, parseOf, textOf } from './json-scan.ts';
import type { Member, Span } from './json-scan.ts';
import type { Change, Plan } from './redaction-plan.ts';
import { invented } from './replacement.ts';
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

/** A resource that is redacted. */
export interface Source {
  readonly bytes: Buffer;
  readonly splice: Splice;
  readonly planFor: (type: string) => Plan | undefined;
  /** The resource, as `Type/id`. */
  readonly place: string;
  /** The number of elements invented so far. */
  readonly invented: { count: number };
}

/** Writes a redacted value. */
type Write = () => void;

/** A member that stays. */
export interface Kept {
  readonly member: Member;
  readonly write: Write;
}

/** Returns the members of an object that stay, with their redacted values. */
export function keptMembers(source: Source, members: readonly Member[], plan: Plan, depth: number): Kept[] {
  checkDepth(depth);
  /** Mandatory elements, by their masked members: those that stay, and then those that are masked already. */
  const present = new Set<string>();
  const kept = members.flatMap((member): (Kept & { readonly masked?: string })[] => {
    const { name } = member;
    if (plan.kept && !plan.kept.has(name)) return [];
    const change = plan.changes.get(name);
    const write = writeOf(source, member, change, plan, depth);
    const masked = change?.masked;
    if (write) {
      if (masked !== undefined) present.add(masked);
      return [{ member, write }];
    }
    return masked === undefined ? [] : [{ ...insertion(source, member, masked), masked }];
  });
  return kept.filter(({ masked }) => {
    if (masked === undefined) return true;
    if (present.has(masked)) return false;
    present.add(masked);
    return true;
  });
}

/** A member in the place of another one. Copies of it bring the comma before that one. */
function insertion({ splice }: Source, { name, start }: Member, text: string): Kept {
  const nothing = { start, end: start };
  return { member: { name, ...nothing, value: nothing }, write: () => splice.insert(text) };
}

/** Returns undefined if nothing of a member stays. */
function writeOf(
  source: Source,
  { name, value }: Member,
  change: Change | undefined,
  plan: Plan,
  depth: number,
): Write | undefined {
  if (!change && name === 'extension' && plan.extensions.size > 0) {
    const kept = isArrayAt(source.bytes, value) ? keptExtensions(source.bytes, value, plan.extensions) : [];
    const writeItem = (item: Span): void => copyValue(source, item, plan);
    return kept.length === 0 ? undefined : () => copyArray(source.splice, kept, writeItem);
  }
  if (!change) return () => copyValue(source, value, plan);
  switch (change.do) {
    case 'remove':
      return undefined;
    case 'rewrite':
      return each(source, value, (item) => rewritten(source, item, change.rewrite), change.list);
    case 'invent':
      return each(source, value, (item) => inventedValue(source, item, change));
    case 'enter':
      return each(source, value, (item) => entered(source, item, change.plan, depth + 1));
    case 'resources':
      return each(source, value, (item) => redactedResource(source, item, depth + 1));
  }
}

/** @param list whether the value may be an array */
function each(
  { bytes, splice }: Source,
  value: Span,
  writeOfItem: (item: Span) => Write | undefined,
  list = true,
): Write | undefined {
  if (!isArrayAt(bytes, value)) return writeOfItem(value);
  if (!list) return undefined;
  const writes = itemsOf(bytes, value).flatMap((item) => writeOfItem(item) ?? []);
  return writes.length === 0 ? undefined : () => copyArray(splice, writes, (write) => write());
}

function rewritten(
  { bytes, splice }: Source,
  item: Span,
  rewrite: (text: string) => string | undefined,
): Write | undefined {
  const text = isStringAt(bytes, item) ? rewrite(textOf(bytes, item)) : undefined;
  return text === undefined ? undefined : () => splice.insert(asciiJson(text));
}

function inventedValue(
  { bytes, splice, place, invented: made }: Source,
  item: Span,
  { type, key }: Extract<Change, { do: 'invent' }>,
): Write | undefined {
  if (!isObjectAt(bytes, item)) return undefined;
  const text = invented(type, parseOf(bytes, item), `${place}#${made.count++}`, key);
  return () => splice.insert(asciiJson(text, true));
}

/** Redaction may leave no member of an object, and FHIR forbids empty objects. */
function entered(source: Source, item: Span, plan: Plan, depth: number): Write | undefined {
  if (!isObjectAt(source.bytes, item)) return undefined;
  let members = membersOf(source.bytes, item);
  if (plan.displays && isReference(members)) members = members.filter((one) => elementOf(one) !== 'display');
  const kept = keptMembers(source, members, plan, depth);
  return kept.length === 0 ? undefined : () => copyKept(source, kept);
}

/** Leaves out a resource that names no type or several types, because no redactions are known for it. */
function redactedResource(source: Source, item: Span, depth: number): Write | undefined {
  const { bytes, planFor } = source;
  if (!isObjectAt(bytes, item)) return undefined;
  const members = membersOf(bytes, item);
  const [only, ...more] = members.filter(({ name }) => name === 'resourceType');
  if (!only || more.length > 0 || !isStringAt(bytes, only.value)) return undefined;
  const plan = planFor(textOf(bytes, only.value));
  const kept = plan && keptMembers(source, members, plan, depth);
  return kept && (() => copyKept(source, kept));
}

function copyKept({ splice }: Source, kept: readonly Kept[]): void {
  const writes = new Map(kept.map(({ member, write }) => [member, write]));
  copyObject(splice, [...writes.keys()], (member) => writes.get(member)?.());
}

/** Returns the extensions of other urls. An extension whose url is missing or is no text does not stay. */
function keptExtensions(bytes: Buffer, list: Span, urls: ReadonlySet<string>): Span[] {
  return itemsOf(bytes, list).filter((item) => {
    if (!isObjectAt(bytes, item)) return false;
    const named = membersOf(bytes, item).filter(({ name }) => name === 'url');
    return (
      named.length > 0 &&
      !named.some(({ value }) => !isStringAt(bytes, value) || urls.has(textOf(bytes, value)))
    );
  });
}

function copyValue({ splice, bytes }: Source, value: Span, { displays }: Plan): void {
  if (displays) copyWithoutDisplays(splice, bytes, value, 0);
  else splice.copy(value);
}

function copyWithoutDisplays(splice: Splice, bytes: Buffer, value: Span, depth: number): void {
  checkDepth(depth);
  const copyInner = (inner: Span): void => copyWithoutDisplays(splice, bytes, inner, depth + 1);
  if (isArrayAt(bytes, value)) return copyParts(splice, value, itemsOf(bytes, value), copyInner);
  if (!isObjectAt(bytes, value)) return splice.copy(value);
  const members = membersOf(bytes, value);
  const kept = isReference(members) ? members.filter((one) => elementOf(one) !== 'display') : members;
  if (kept.length < members.length) return copyObject(splice, kept, (member) => copyInner(member.value));
  const values = members.map((member) => member.value);
  copyParts(splice, value, values, copyInner);
}

function isReference(members: readonly Member[]): boolean {
  return members.every((member) => REFERENCE_MEMBERS.has(elementOf(member)));
}

/** Returns the name of the element; a primitive has a second member, `_name`. */
function elementOf({ name }: Member): string {
  return name.replace(/^_/, '');
}

/** Returns JSON without characters outside of ASCII. */
function asciiJson(text: string, isJson = false): string {
  return (isJson ? text : JSON.stringify(text)).replaceAll(
    /[^\0-\x7f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function checkDepth(depth: number): void {
  if (depth > MAX_DEPTH) throw new HeadwaterError('corrupt', 'it is nested too deep to be redacted');
}
