import type { Member, Span } from './json-scan.ts';
import type { Splice } from './splice.ts';

/** A member that stays. */
export interface Kept {
  readonly member: Member;
  /** Writes its new value; undefined = its value stays as it is. */
  readonly write: (() => void) | undefined;
}

/** Copies a member of an object, with the white space around it and, unless it is the first one, the comma before it. */
export function copyMember(splice: Splice, { member, write }: Kept, first: boolean): void {
  const { start, end, value } = member;
  // With the comma before it, neighbours are copied in one piece.
  const from = first ? start : start - 1;
  if (!write) return splice.copyRange(from, end);
  splice.copyRange(from, value.start);
  write();
  splice.copyRange(value.end, end);
}

/** Copies an object with these of its members only. */
export function copyObject(splice: Splice, kept: readonly Kept[]): void {
  splice.insert('{');
  for (let i = 0; i < kept.length; i++) copyMember(splice, kept[i] as Kept, i === 0);
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
