import { HeadwaterError } from '../base/errors.ts';
import { rootElementOf } from './elements.ts';
import type { Reduce } from './elements.ts';
import { isArrayAt, isObjectAt, isStringAt, itemsOf, membersOf, textOf } from './json-scan.ts';
import type { Member, Span } from './json-scan.ts';
import { lastOf, MetaLabel } from './meta-label.ts';
import { Splice } from './splice.ts';

/** One redaction of a rule. */
export interface Redaction {
  /**
   * A root element (`name`; `value` is every type of a choice), `extension(url)`: the extensions of the resource with that url, or
   * `**.Reference.display`: the text of every Reference, at any depth.
   */
  readonly path: string;
  /** `remove`: it is left out; `year`: of a date, the year stays. */
  readonly do: 'remove' | 'year';
}

const REDACTED = new MetaLabel('security', 'REDACTED');
const DISPLAYS = '**.Reference.display';
const EXTENSION = /^extension\((\S+)\)$/;
/** Elements that say which resource it is, and what it means. */
const FIXED: ReadonlySet<string> = new Set(['id', 'resourceType', 'meta', 'contained']);
/** An instant has no form with the year alone. */
const INSTANTS: ReadonlySet<string> = new Set(
  (
    'Appointment.start Appointment.end AppointmentResponse.start AppointmentResponse.end AuditEvent.recorded Bundle.timestamp ' +
    'DiagnosticReport.issued DocumentReference.date Media.issued Observation.issued Provenance.recorded Slot.start Slot.end ' +
    'Subscription.end'
  ).split(' '),
);
/** The members of a Reference. What has others as well is something else, such as a Coding, whose display says nothing of a person. */
const OF_REFERENCE: ReadonlySet<string> = new Set([
  'id',
  'extension',
  'reference',
  'type',
  'identifier',
  'display',
]);
const MAX_DEPTH = 100;
const YEAR = /^\d{4}/;

/** Returns a sentence for each redaction that could leave something in, or leave an invalid resource. */
export function redactionProblems(redactions: readonly Redaction[], types: readonly string[]): string[] {
  return redactions.flatMap(({ path, do: how }): string[] => {
    if (path === DISPLAYS || EXTENSION.test(path))
      return how === 'remove' ? [] : [`${path} can be removed only`];
    if (FIXED.has(path)) return [`${path} cannot be redacted`];
    if (!/^\w+(\[x\])?$/.test(path))
      return [`${path}: only root elements, extension(url) and ${DISPLAYS} can be redacted`];
    const elements = types.flatMap((type) => {
      const element = rootElementOf(type, path);
      return element ? [{ type, ...element }] : [];
    });
    if (elements.length === 0) return [`${path} is a root element of none of the rule's types`];
    if (how === 'year') {
      const instant = elements.find(({ type }) => INSTANTS.has(`${type}.${path}`));
      return instant
        ? [`${instant.type}.${path} is an instant: remove it, the year alone would be invalid`]
        : [];
    }
    const mandatory = elements.find((element) => element.mandatory);
    return mandatory ? [`${mandatory.type}.${path} is mandatory, so it cannot be removed`] : [];
  });
}

/** Names in JSON that a redaction of a type takes, each with its `_name`. */
interface Plan {
  readonly removed: ReadonlySet<string>;
  readonly years: ReadonlySet<string>;
  readonly extensions: ReadonlySet<string>;
  readonly displays: boolean;
  readonly changes: boolean;
}

function planOf(redactions: readonly Redaction[], type: string): Plan {
  const keysOf = (how: Redaction['do']): string[] =>
    redactions
      .filter((one) => one.do === how)
      .flatMap(({ path }) => rootElementOf(type, path)?.keys ?? [])
      .flatMap((key) => [key, `_${key}`]);
  const changes = redactions.length > 0;
  // The narrative repeats in words what the elements say.
  const removed = new Set([...keysOf('remove'), ...(changes ? ['text', '_text'] : [])]);
  return {
    ...{ removed, changes },
    years: new Set(keysOf('year')),
    extensions: new Set(redactions.flatMap(({ path }) => EXTENSION.exec(path)?.[1] ?? [])),
    displays: redactions.some(({ path }) => path === DISPLAYS),
  };
}

/**
 * Compiles what removes the redacted elements of resources of a type. All other bytes stay the source's own. A resource inside another is
 * redacted as the rules of its own type say.
 * @param options.own the redactions of the rule that lets the resource through
 * @param options.of all redactions of a type, for contained resources; of a type without an answer they are left out
 * @param options.marked whether resources of the type are labelled REDACTED: all of them, since a label on some would tell who has the element
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
    copyResource(splice, { bytes, planFor, depth: 0 }, { start, end }, { plan, marked: options.marked });
    return splice.toBuffer();
  };
}

interface Source {
  readonly bytes: Buffer;
  readonly planFor: (type: string) => Plan | undefined;
  readonly depth: number;
}

function copyResource(
  splice: Splice,
  source: Source,
  resource: Span,
  { plan, marked }: { readonly plan: Plan; readonly marked: boolean },
): void {
  const { bytes } = source;
  const members = membersOf(bytes, resource).filter(
    (member) => !plan.removed.has(member.name) && !isEmptied(bytes, member, plan),
  );
  const meta = marked ? lastOf(members, 'meta') : undefined;
  const metaAfter = !marked || meta ? undefined : (lastOf(members, 'id') ?? lastOf(members, 'resourceType'));
  splice.insert('{');
  if (marked && !meta && !metaAfter) splice.insert(members.length > 0 ? `${REDACTED.meta},` : REDACTED.meta);
  for (const [n, member] of members.entries()) {
    splice.copy({ start: n === 0 ? member.start : member.start - 1, end: member.value.start });
    if (member === meta) REDACTED.copyTo(splice, bytes, member.value);
    else copyMember(splice, source, member, plan);
    splice.copy({ start: member.value.end, end: member.end });
    if (member === metaAfter) splice.insert(`,${REDACTED.meta}`);
  }
  splice.insert('}');
}

/** Whether nothing of a member would be left: FHIR has no empty lists, and no sibling of a date that is cut. */
function isEmptied(bytes: Buffer, { name, value }: Member, { years, extensions }: Plan): boolean {
  if (years.has(name)) return name.startsWith('_') || name.endsWith('Instant') || hasNoYear(bytes, value);
  if (name !== 'extension' || extensions.size === 0) return false;
  return !isArrayAt(bytes, value) || keptExtensions(bytes, value, extensions).length === 0;
}

function hasNoYear(bytes: Buffer, value: Span): boolean {
  return isStringAt(bytes, value) && !YEAR.test(textOf(bytes, value));
}

function copyMember(splice: Splice, source: Source, { name, value }: Member, plan: Plan): void {
  const { bytes } = source;
  if (name === 'contained') return copyContained(splice, source, value);
  if (plan.years.has(name) && isStringAt(bytes, value)) {
    return splice.insert(`"${YEAR.exec(textOf(bytes, value))?.[0] ?? ''}"`);
  }
  if (name === 'extension' && plan.extensions.size > 0)
    return copyList(splice, keptExtensions(bytes, value, plan.extensions), (item) =>
      copyValue(splice, bytes, item, plan.displays),
    );
  copyValue(splice, bytes, value, plan.displays);
}

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

/** A contained resource that names no type, or several, is left out: nothing says how it is redacted. */
function copyContained(splice: Splice, source: Source, list: Span): void {
  const { bytes, planFor, depth } = source;
  const items = isArrayAt(bytes, list) ? itemsOf(bytes, list) : [list];
  const typed = items.flatMap((item) => {
    if (!isObjectAt(bytes, item)) return [];
    const names = membersOf(bytes, item).filter(({ name }) => name === 'resourceType');
    const [only] = names;
    if (!only || names.length > 1 || !isStringAt(bytes, only.value)) return [];
    const plan = planFor(textOf(bytes, only.value));
    return plan ? [{ item, plan }] : [];
  });
  if (depth >= MAX_DEPTH) throw tooDeep();
  copyList(splice, typed, ({ item, plan }) =>
    copyResource(splice, { ...source, depth: depth + 1 }, item, { plan, marked: false }),
  );
}

function copyList<T>(splice: Splice, items: readonly T[], copy: (item: T) => void): void {
  splice.insert('[');
  for (const [n, item] of items.entries()) {
    if (n > 0) splice.insert(',');
    copy(item);
  }
  splice.insert(']');
}

function copyValue(splice: Splice, bytes: Buffer, value: Span, displays: boolean): void {
  if (displays) copyWithoutDisplays(splice, bytes, value, 0);
  else splice.copy(value);
}

function copyWithoutDisplays(splice: Splice, bytes: Buffer, value: Span, depth: number): void {
  if (depth > MAX_DEPTH) throw tooDeep();
  const inner = (span: Span): void => copyWithoutDisplays(splice, bytes, span, depth + 1);
  if (isArrayAt(bytes, value)) return copyParts(splice, value, itemsOf(bytes, value), inner);
  if (!isObjectAt(bytes, value)) return splice.copy(value);
  const members = membersOf(bytes, value);
  const isReference = members.every(({ name }) => OF_REFERENCE.has(name.replace(/^_/, '')));
  const kept = isReference ? members.filter(({ name }) => name.replace(/^_/, '') !== 'display') : members;
  if (kept.length === members.length)
    return copyParts(
      splice,
      value,
      members.map((member) => member.value),
      inner,
    );
  splice.insert('{');
  for (const [n, member] of kept.entries()) {
    splice.copy({ start: n === 0 ? member.start : member.start - 1, end: member.value.start });
    inner(member.value);
    splice.copy({ start: member.value.end, end: member.end });
  }
  splice.insert('}');
}

/** A value whose parts are copied one by one, and what is between them as it is. */
function copyParts(splice: Splice, whole: Span, parts: readonly Span[], copy: (part: Span) => void): void {
  let at = whole.start;
  for (const part of parts) {
    splice.copy({ start: at, end: part.start });
    copy(part);
    at = part.end;
  }
  splice.copy({ start: at, end: whole.end });
}

function tooDeep(): HeadwaterError {
  return new HeadwaterError('corrupt', 'it is nested too deep to be redacted');
}
