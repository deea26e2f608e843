import { containedBy, referringToContained } from './contained.ts';
import { membersOf } from './json-scan.ts';
import type { Member, Span } from './json-scan.ts';
import { lastOf, MetaLabel } from './meta-label.ts';
import { Splice } from './splice.ts';

const SUBSETTED = new MetaLabel('tag', 'SUBSETTED');

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
  const meta = lastOf(kept, 'meta');
  const metaAfter = meta ? undefined : (lastOf(kept, 'id') ?? lastOf(kept, 'resourceType'));
  const splice = new Splice(bytes);
  splice.insert('{');
  if (!meta && !metaAfter) splice.insert(kept.length > 0 ? `${SUBSETTED.meta},` : SUBSETTED.meta);
  for (const member of kept) {
    // The comma before it is included, so that neighbours are copied in one piece
    const from = member === kept[0] ? member.start : member.start - 1;
    splice.copy({ start: from, end: member.value.start });
    const items = contained.get(member);
    if (items) copyItems(splice, items);
    else if (member === meta) SUBSETTED.copyTo(splice, bytes, member.value);
    else splice.copy(member.value);
    splice.copy({ start: member.value.end, end: member.end });
    if (member === metaAfter) splice.insert(`,${SUBSETTED.meta}`);
  }
  splice.insert('}');
  return splice.toBuffer();
}

const NONE: ReadonlyMap<Member, readonly Span[]> = new Map();

function copyItems(splice: Splice, items: readonly Span[]): void {
  splice.insert('[');
  for (const [index, item] of items.entries()) {
    if (index > 0) splice.insert(',');
    splice.copy(item);
  }
  splice.insert(']');
}
