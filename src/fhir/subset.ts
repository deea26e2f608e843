import { containedBy, referringToContained } from './contained.ts';
import { isArrayAt, isObjectAt, itemsOf, membersOf, parseOf } from './json-scan.ts';
import type { Member, Span } from './json-scan.ts';
import { Splice } from './splice.ts';

const SUBSETTED = {
  system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue',
  code: 'SUBSETTED',
};
const ITEM = JSON.stringify(SUBSETTED);
const TAG = `"tag":[${ITEM}]`;
const META = `"meta":{${TAG}}`;

const ALWAYS: ReadonlySet<string> = new Set(['resourceType', 'id', '_id', 'meta']);

/**
 * Cuts a resource's JSON down to the members of these names, its id and meta, and tags it SUBSETTED. What stays is the
 * source's own, byte for byte. Of `contained` what the kept elements refer to stays;
 * when it is asked for, all of it and the elements that refer to it. A name that occurs twice
 * stays twice. Throws `corrupt` for what is no JSON object.
 */
export function subset(bytes: Buffer, text: Span, names: ReadonlySet<string>): Buffer {
  const members = membersOf(bytes, text);
  const all = names.has('contained');
  const referring = all ? referringToContained(bytes, members) : undefined;
  const isAsked = (one: Member): boolean =>
    ALWAYS.has(one.name) || names.has(one.name) || (referring?.has(one) ?? false);
  const asked = members.filter(isAsked);
  const contained = all ? NONE : containedBy(bytes, members, asked);
  const kept = contained.size > 0 ? members.filter((one) => isAsked(one) || contained.has(one)) : asked;
  const meta = lastOf(kept, 'meta'); // parsers take the last one
  const metaAfter = meta ? undefined : (lastOf(kept, 'id') ?? lastOf(kept, 'resourceType'));
  const splice = new Splice(bytes);
  splice.insert('{');
  if (!meta && !metaAfter) splice.insert(kept.length > 0 ? `${META},` : META);
  for (const member of kept) {
    // The comma before it is included, so that neighbours are copied in one piece
    const from = member === kept[0] ? member.start : member.start - 1;
    splice.copy({ start: from, end: member.value.start });
    const items = contained.get(member);
    if (items) copyItems(splice, items);
    else if (member === meta) copyTagged(splice, bytes, member.value);
    else splice.copy(member.value);
    splice.copy({ start: member.value.end, end: member.end });
    if (member === metaAfter) splice.insert(`,${META}`);
  }
  splice.insert('}');
  return splice.toBuffer();
}

const NONE: ReadonlyMap<Member, readonly Span[]> = new Map();

function lastOf(members: readonly Member[], name: string): Member | undefined {
  return members.findLast((member) => member.name === name);
}

function copyItems(splice: Splice, items: readonly Span[]): void {
  splice.insert('[');
  for (const [index, item] of items.entries()) {
    if (index > 0) splice.insert(',');
    splice.copy(item);
  }
  splice.insert(']');
}

/** The value of meta, with the tag once. */
function copyTagged(splice: Splice, bytes: Buffer, meta: Span): void {
  const members = isObjectAt(bytes, meta) ? membersOf(bytes, meta) : undefined;
  const tag = members && lastOf(members, 'tag');
  const items = tag && isArrayAt(bytes, tag.value) ? itemsOf(bytes, tag.value) : undefined;
  if (!members) splice.insert(`{${TAG}}`);
  else if (!tag) copyAdded(splice, meta, members.at(-1)?.value.end, TAG);
  else if (!items) splice.copyWith(meta, tag.value, `[${ITEM}]`);
  else if (items.some((item) => isSubsetted(bytes, item))) splice.copy(meta);
  else {
    splice.copy({ start: meta.start, end: tag.value.start });
    copyAdded(splice, tag.value, items.at(-1)?.end, ITEM);
    splice.copy({ start: tag.value.end, end: meta.end });
  }
}

/** An object or array with one more part, after the one that ends at `lastEnd` if there is any. */
function copyAdded(splice: Splice, whole: Span, lastEnd: number | undefined, text: string): void {
  const at = lastEnd ?? whole.start + 1;
  splice.copyWith(whole, { start: at, end: at }, lastEnd === undefined ? text : `,${text}`);
}

function isSubsetted(bytes: Buffer, item: Span): boolean {
  if (!isObjectAt(bytes, item)) return false;
  const { system, code } = parseOf(bytes, item) as { system?: unknown; code?: unknown };
  return system === SUBSETTED.system && code === SUBSETTED.code;
}
