import { containedBy, referringToContained } from './contained.ts';
import { copyArray } from './copy-parts.ts';
import { membersOf } from './json-scan.ts';
import type { Member, Span } from './json-scan.ts';
import { MetaLabel } from './meta-label.ts';
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
  const splice = new Splice(bytes);
  const copied = kept.map((member) => {
    const items = contained.get(member);
    return { member, write: items && (() => copyArray(splice, items, (item) => splice.copy(item))) };
  });
  SUBSETTED.copyResource(splice, bytes, copied);
  return splice.toBuffer();
}

const NONE: ReadonlyMap<Member, readonly Span[]> = new Map();
