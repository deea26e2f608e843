import { isArrayAt, isObjectAt, isStringAt, itemsOf, membersOf, stringsOf, textOf } from './json-scan.ts';
import type { Member, Span } from './json-scan.ts';

const HASH = 0x23;
const BACKSLASH = 0x5c;

/**
 * Returns for each `contained` of a resource the resources that kept members refer to, and those that these refer to; without an entry where
 * there are none.
 */
export function containedBy(
  bytes: Buffer,
  members: readonly Member[],
  kept: readonly Member[],
): ReadonlyMap<Member, readonly Span[]> {
  const lists = members
    .filter(({ name, value }) => name === 'contained' && isArrayAt(bytes, value))
    .map((member) => ({ member, items: itemsOf(bytes, member.value) }));
  const wanted = new Set<Span>();
  const waiting = Map.groupBy(
    lists.flatMap(({ items }) => items),
    (item) => idOf(bytes, item),
  );
  waiting.delete(undefined);
  const pending: Span[] = kept.map(({ value }) => value);
  for (let span = pending.pop(); span && waiting.size > 0; span = pending.pop()) {
    for (const id of fragmentsIn(bytes, span)) {
      const items = waiting.get(id) ?? [];
      waiting.delete(id);
      for (const item of items) {
        wanted.add(item);
        pending.push(item);
      }
    }
  }
  return new Map(
    lists
      .map(({ member, items }) => [member, items.filter((item) => wanted.has(item))] as const)
      .filter(([, items]) => items.length > 0),
  );
}

/** The members that refer to what is contained: without them no element would refer to it, which R4 forbids. */
export function referringToContained(bytes: Buffer, members: readonly Member[]): ReadonlySet<Member> {
  const ids = new Set(
    members
      .filter(({ name, value }) => name === 'contained' && isArrayAt(bytes, value))
      .flatMap(({ value }) => itemsOf(bytes, value))
      .map((item) => idOf(bytes, item)),
  );
  return new Set(
    ids.size === 0
      ? []
      : members.filter(({ value }) => [...fragmentsIn(bytes, value)].some((id) => ids.has(id))),
  );
}

function idOf(bytes: Buffer, item: Span): string | undefined {
  if (!isObjectAt(bytes, item)) return undefined;
  const id = membersOf(bytes, item).findLast(({ name }) => name === 'id');
  return id && isStringAt(bytes, id.value) ? textOf(bytes, id.value) : undefined;
}

/** Yields the ids that strings refer to with `#`: a Reference, a canonical or another URI (https://hl7.org/fhir/R4/domainresource.html, dom-3). */
function* fragmentsIn(bytes: Buffer, span: Span): Generator<string> {
  for (const text of stringsOf(bytes, span)) {
    const first = bytes[text.start + 1];
    if (first !== HASH && first !== BACKSLASH) continue;
    const read = textOf(bytes, text);
    if (read.startsWith('#')) yield read.slice(1);
  }
}
