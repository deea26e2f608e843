import { HeadwaterError } from '../base/errors.ts';
import { copyArray, copyObject, copyParts } from './copy-parts.ts';
import { rootElementOf } from './elements.ts';
import type { Reduce } from './elements.ts';
import { isArrayAt, isBooleanAt, isObjectAt, isStringAt, itemsOf, membersOf, textOf } from './json-scan.ts';
import type { Member, Span } from './json-scan.ts';
import { MetaLabel } from './meta-label.ts';
import { extensionUrlOf, isDisplays } from './redaction.ts';
import type { Redaction } from './redaction.ts';
import { Splice } from './splice.ts';

const REDACTED = new MetaLabel('security', 'REDACTED');
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
const YEAR = /^\d{4}/;

/** The members that the redactions of a type change, by their names in JSON. Each name is there with its `_name`. */
interface Plan {
  readonly removed: ReadonlySet<string>;
  readonly years: ReadonlySet<string>;
  /** The urls of extensions to remove. */
  readonly extensions: ReadonlySet<string>;
  readonly displays: boolean;
}

function planOf(redactions: readonly Redaction[], type: string): Plan {
  const keysOf = (how: Redaction['do']): string[] =>
    redactions
      .filter((one) => one.do === how)
      .flatMap(({ path }) => rootElementOf(type, path)?.keys ?? [])
      .flatMap((key) => [key, `_${key}`]);
  // The narrative repeats in words the values of elements.
  const narrative = redactions.length > 0 ? ['text', '_text'] : [];
  return {
    removed: new Set([...keysOf('remove'), ...narrative]),
    years: new Set(keysOf('year')),
    extensions: new Set(redactions.flatMap((one) => extensionUrlOf(one) ?? [])),
    displays: redactions.some(isDisplays),
  };
}

/**
 * Compiles a function that redacts resources of a type. It copies all other bytes from the source. It redacts a contained resource by the
 * redactions of that resource's own type.
 * @param options.own the redactions of the rule that lets the resource through
 * @param options.of returns all redactions of a type, for contained resources; if it returns undefined, they are left out
 * @param options.marked whether resources of the type are labelled REDACTED. All of them are: a label on some would show which ones have the element
 */
export function compileRedactions(
  type: string,
  options: {
    readonly own: readonly Redaction[];
    readonly of: (type: string) => readonly Redaction[] | undefined;
    readonly marked: boolean;
  },
): Reduce {
  const plan = planOf(options.own, type);
  const plans = new Map<string, Plan | undefined>();
  const planFor = (contained: string): Plan | undefined => {
    if (!plans.has(contained)) {
      const redactions = options.of(contained);
      plans.set(contained, redactions && planOf(redactions, contained));
    }
    return plans.get(contained);
  };
  return (bytes, start, end) => {
    const splice = new Splice(bytes);
    const { members, copyValue } = redactedParts(splice, { bytes, planFor, depth: 0 }, { start, end }, plan);
    // The label copies meta as it is in the source, so without displays it needs a pass of its own.
    const labelLater = options.marked && plan.displays && members.some(({ name }) => name === 'meta');
    if (options.marked && !labelLater) REDACTED.copyResource(splice, bytes, members, copyValue);
    else copyObject(splice, members, copyValue);
    const redacted = splice.toBuffer();
    return labelLater ? labelled(redacted) : redacted;
  };
}

function labelled(resource: Buffer): Buffer {
  const splice = new Splice(resource);
  const members = membersOf(resource, { start: 0, end: resource.length });
  REDACTED.copyResource(splice, resource, members, ({ value }) => splice.copy(value));
  return splice.toBuffer();
}

interface Source {
  readonly bytes: Buffer;
  readonly planFor: (type: string) => Plan | undefined;
  /** The number of resources around this one. */
  readonly depth: number;
}

/** Returns the members that stay in a resource, and the function that copies their redacted values. */
function redactedParts(
  splice: Splice,
  source: Source,
  resource: Span,
  plan: Plan,
): { readonly members: readonly Member[]; readonly copyValue: (member: Member) => void } {
  const { bytes } = source;
  const members = membersOf(bytes, resource).filter(
    (member) => !plan.removed.has(member.name) && !becomesEmpty(bytes, member, plan),
  );
  return { members, copyValue: (member) => copyRedacted(splice, source, member, plan) };
}

/** Whether redaction leaves no value of a member. FHIR forbids empty lists, and the sibling of a shortened date has no use. */
function becomesEmpty(bytes: Buffer, { name, value }: Member, { years, extensions }: Plan): boolean {
  if (years.has(name)) return name.startsWith('_') || name.endsWith('Instant') || !hasYear(bytes, value);
  if (name !== 'extension' || extensions.size === 0) return false;
  return !isArrayAt(bytes, value) || keptExtensions(bytes, value, extensions).length === 0;
}

/** Whether a value keeps a form with its year alone. A Period or a Timing has none. A boolean, as of `deceased`, holds no date. */
function hasYear(bytes: Buffer, value: Span): boolean {
  if (isStringAt(bytes, value)) return YEAR.test(textOf(bytes, value));
  return isBooleanAt(bytes, value);
}

function copyRedacted(splice: Splice, source: Source, { name, value }: Member, plan: Plan): void {
  const { bytes } = source;
  if (name === 'contained') return copyContained(splice, source, value);
  if (plan.years.has(name) && isStringAt(bytes, value))
    return splice.insert(`"${YEAR.exec(textOf(bytes, value))?.[0] ?? ''}"`);
  if (name === 'extension' && plan.extensions.size > 0) {
    const kept = keptExtensions(bytes, value, plan.extensions);
    return copyArray(splice, kept, (item) => copyValue(splice, bytes, item, plan));
  }
  copyValue(splice, bytes, value, plan);
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

/** Leaves out a contained resource that names no type or several types, because no redactions are known for it. */
function copyContained(splice: Splice, source: Source, list: Span): void {
  const { bytes, planFor } = source;
  const depth = source.depth + 1;
  const items = isArrayAt(bytes, list) ? itemsOf(bytes, list) : [list];
  const typed = items.flatMap((item) => {
    if (!isObjectAt(bytes, item)) return [];
    const names = membersOf(bytes, item).filter(({ name }) => name === 'resourceType');
    const [only] = names;
    if (!only || names.length > 1 || !isStringAt(bytes, only.value)) return [];
    const plan = planFor(textOf(bytes, only.value));
    return plan ? [{ item, plan }] : [];
  });
  checkDepth(depth);
  copyArray(splice, typed, ({ item, plan }) => {
    const { members, copyValue } = redactedParts(splice, { ...source, depth }, item, plan);
    copyObject(splice, members, copyValue);
  });
}

function copyValue(splice: Splice, bytes: Buffer, value: Span, { displays }: Plan): void {
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

function checkDepth(depth: number): void {
  if (depth > MAX_DEPTH) throw new HeadwaterError('corrupt', 'it is nested too deep to be redacted');
}
