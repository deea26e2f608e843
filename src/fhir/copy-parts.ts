import type { Member, Span } from './json-scan.ts';
import type { Splice } from './splice.ts';

/** Copies a member of an object, with the white space around it and, unless it is the first one, the comma before it. */
export function copyMember(
  splice: Splice,
  { start, end, value }: Member,
  { first, copyValue }: { readonly first: boolean; readonly copyValue: () => void },
): void {
  // With the comma before it, neighbours are copied in one piece.
  splice.copy({ start: first ? start : start - 1, end: value.start });
  copyValue();
  splice.copy({ start: value.end, end });
}

/** Copies an object with these of its members only. */
export function copyObject(
  splice: Splice,
  members: readonly Member[],
  copyValue: (member: Member) => void,
): void {
  splice.insert('{');
  for (const member of members)
    copyMember(splice, member, { first: member === members[0], copyValue: () => copyValue(member) });
  splice.insert('}');
}

/** Writes an array of items, without the white space around them. */
export function copyArray<T>(splice: Splice, items: readonly T[], copyItem: (item: T) => void): void {
  splice.insert('[');
  for (const [index, item] of items.entries()) {
    if (index > 0) splice.insert(',');
    copyItem(item);
  }
  splice.insert(']');
}

/** Copies a value: its parts one by one, and the bytes between them in one piece. */
export function copyParts(
  splice: Splice,
  whole: Span,
  parts: readonly Span[],
  copyPart: (part: Span) => void,
): void {
  let at = whole.start;
  for (const part of parts) {
    splice.copy({ start: at, end: part.start });
    copyPart(part);
    at = part.end;
  }
  splice.copy({ start: at, end: whole.end });
}
