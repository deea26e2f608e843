import { copyArray, copyObject } from './copy-parts.ts';
import type { Kept } from './copy-parts.ts';
import { checkDepth, copyWithoutDisplays, isDisplay, isReference } from './displays.ts';
import { isArrayAt, isObjectAt, isStringAt, itemsOf, membersOf, parseOf, textOf } from './json-scan.ts';
import type { Member, Span } from './json-scan.ts';
import type { Change, Plan } from './redaction-plan.ts';
import { invented } from './replacement.ts';
import type { Splice } from './splice.ts';

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

/** The value stays as it is. */
const AS_IT_IS = Symbol('as it is');

/** Returns the members of an object that stay, with what writes their redacted values. */
export function keptMembers(source: Source, members: readonly Member[], plan: Plan, depth: number): Kept[] {
  checkDepth(depth);
  const kept: Kept[] = [];
  /** Members in the place of mandatory elements, by what they are: of an element that has another member, they go again. */
  let masks: Map<string, Kept> | undefined;
  let present: Set<string> | undefined;
  for (const member of members) {
    if (plan.kept && !plan.kept.has(member.name)) continue;
    const change = plan.changes.get(member.name);
    const write = writeOf(source, member, change, plan, depth);
    const masked = change?.masked;
    if (write) {
      if (masked !== undefined) (present ??= new Set()).add(masked);
      kept.push({ member, write: write === AS_IT_IS ? undefined : write });
    } else if (masked !== undefined && !masks?.has(masked)) {
      const mask = insertion(source, member, masked);
      (masks ??= new Map()).set(masked, mask);
      kept.push(mask);
    }
  }
  if (!masks || !present) return kept;
  const needless = new Set([...masks].flatMap(([masked, mask]) => (present.has(masked) ? mask : [])));
  return kept.filter((one) => !needless.has(one));
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
): Write | typeof AS_IT_IS | undefined {
  if (!change && name === 'extension' && plan.extensions.size > 0) {
    const kept = isArrayAt(source.bytes, value) ? keptExtensions(source.bytes, value, plan.extensions) : [];
    const writeItem = (item: Span): void => copyValue(source, item, plan);
    return kept.length === 0 ? undefined : () => copyArray(source.splice, kept, writeItem);
  }
  if (!change) return plan.displays ? () => copyValue(source, value, plan) : AS_IT_IS;
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
  if (plan.displays && isReference(members)) members = members.filter((one) => !isDisplay(one));
  const kept = keptMembers(source, members, plan, depth);
  return kept.length === 0 ? undefined : () => copyObject(source.splice, kept);
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
  return kept && (() => copyObject(source.splice, kept));
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
  if (displays) copyWithoutDisplays(splice, bytes, value);
  else splice.copy(value);
}

/** Returns JSON without characters outside of ASCII. */
function asciiJson(text: string, isJson = false): string {
  return (isJson ? text : JSON.stringify(text)).replaceAll(
    /[^\0-\x7f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
