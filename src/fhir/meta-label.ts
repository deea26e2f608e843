import { copyMember } from './copy-parts.ts';
import type { Kept } from './copy-parts.ts';
import { isArrayAt, isObjectAt, itemsOf, membersOf, parseOf } from './json-scan.ts';
import type { Member, Span } from './json-scan.ts';
import type { Splice } from './splice.ts';

const SYSTEM = 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue';

/** A label that a resource carries in its meta, such as SUBSETTED as a tag. */
export class MetaLabel {
  /** A whole member `meta` with the label alone. */
  readonly #meta: string;
  readonly #metaAfter: string;
  readonly #list: 'tag' | 'security';
  readonly #code: string;
  readonly #item: string;
  readonly #member: string;

  constructor(list: 'tag' | 'security', code: string) {
    this.#list = list;
    this.#code = code;
    this.#item = JSON.stringify({ system: SYSTEM, code });
    this.#member = `"${list}":[${this.#item}]`;
    this.#meta = `"meta":{${this.#member}}`;
    this.#metaAfter = `,${this.#meta}`;
  }

  /**
   * Copies a resource with these of its members only, and with the label in its meta. The last meta is copied from the source, whatever
   * else was to be written for it.
   */
  copyResource(splice: Splice, bytes: Buffer, kept: readonly Kept[]): void {
    const named = (name: string): Member | undefined =>
      kept.findLast(({ member }) => member.name === name)?.member;
    const meta = named('meta');
    const metaAfter = meta ? undefined : (named('id') ?? named('resourceType'));
    splice.insert('{');
    if (!meta && !metaAfter) splice.insert(kept.length > 0 ? `${this.#meta},` : this.#meta);
    for (let i = 0; i < kept.length; i++) {
      const one = kept[i] as Kept;
      const { member } = one;
      const write = (): void => this.#copyMeta(splice, bytes, member.value);
      copyMember(splice, member === meta ? { member, write } : one, i === 0);
      if (member === metaAfter) splice.insert(this.#metaAfter);
    }
    splice.insert('}');
  }

  /** Copies the value of meta, with the label once. */
  #copyMeta(splice: Splice, bytes: Buffer, meta: Span): void {
    const members = isObjectAt(bytes, meta) ? membersOf(bytes, meta) : undefined;
    const list = members && lastOf(members, this.#list);
    const items = list && isArrayAt(bytes, list.value) ? itemsOf(bytes, list.value) : undefined;
    if (!members) splice.insert(`{${this.#member}}`);
    else if (!list) copyAdded(splice, meta, members.at(-1)?.value.end, this.#member);
    else if (!items) splice.copyWith(meta, list.value, `[${this.#item}]`);
    else if (items.some((item) => this.#is(bytes, item))) splice.copy(meta);
    else {
      splice.copy({ start: meta.start, end: list.value.start });
      copyAdded(splice, list.value, items.at(-1)?.end, this.#item);
      splice.copy({ start: list.value.end, end: meta.end });
    }
  }

  #is(bytes: Buffer, item: Span): boolean {
    if (!isObjectAt(bytes, item)) return false;
    const { system, code } = parseOf(bytes, item) as { system?: unknown; code?: unknown };
    return system === SYSTEM && code === this.#code;
  }
}

/** Parsers take the last of several members of a name. */
function lastOf(members: readonly Member[], name: string): Member | undefined {
  return members.findLast((member) => member.name === name);
}

/** An object or array with one more part, after the one that ends at `lastEnd` if there is any. */
function copyAdded(splice: Splice, whole: Span, lastEnd: number | undefined, text: string): void {
  const at = lastEnd ?? whole.start + 1;
  splice.copyWith(whole, { start: at, end: at }, lastEnd === undefined ? text : `,${text}`);
}
