import { HeadwaterError } from '../../../base/errors.ts';
import { copyParts } from '../../../fhir/copy-parts.ts';
import { isArrayAt, isObjectAt, itemsOf, membersOf, parseOf } from '../../../fhir/json-scan.ts';
import type { Member, Span } from '../../../fhir/json-scan.ts';
import { Splice } from '../../../fhir/splice.ts';
import { elementsOf } from '../../../fhir/types.ts';
import type { Element } from '../../../fhir/types.ts';
import { asciiJson } from '../meta.ts';

/** Objects and arrays within each other. Deeper bodies are refused: each level is a call. */
const MAX_DEPTH = 200;

/** Two servers keep FHIR in this form; FHIRbase loses the type of a reference that it does not understand. */
export type Dialect = 'aidbox' | 'fhirbase';

/**
 * Turns Aidbox's form of a resource into FHIR JSON, by the rules of its documentation (Aidbox and FHIR formats): references are type and id, or
 * `uri`, or `localRef`; an element with several types is an object with the type as its key. Every other byte stays. Throws `corrupt` for a form that
 * those rules do not know.
 */
export function toFhir(body: Buffer, type: string, dialect: Dialect): Buffer {
  const splice = new Splice(body);
  new Conversion(body, splice, dialect).object({ start: 0, end: body.length }, type, 0);
  return splice.toBuffer();
}

class Conversion {
  readonly #bytes: Buffer;
  readonly #splice: Splice;
  readonly #dialect: Dialect;

  constructor(bytes: Buffer, splice: Splice, dialect: Dialect) {
    this.#bytes = bytes;
    this.#splice = splice;
    this.#dialect = dialect;
  }

  object(span: Span, type: string, depth: number): void {
    const members = membersOf(this.#bytes, span);
    if (type === 'Reference' && this.#isOwnReference(members)) return this.#reference(members, depth);
    const elements = elementsOf(type);
    this.#members(members, (member) => {
      const element = elements.get(member.name) ?? chosen(elements, member.name);
      const base = member.name.startsWith('_') ? elements.get(member.name.slice(1)) : undefined;
      if (element?.of === 'choice') this.#choice(member, element, depth);
      else if (base?.of === 'choice') this.#choice(member, base, depth);
      else this.#member(member, element ?? siblingOf(member.name), depth);
    });
  }

  #members(members: readonly Member[], write: (member: Member) => void): void {
    this.#splice.insert('{');
    for (const member of members) {
      if (member !== members[0]) this.#splice.insert(',');
      write(member);
    }
    this.#splice.insert('}');
  }

  /** Copies the name of a member, and converts its value. */
  #member(member: Member, element: Element | undefined, depth: number): void {
    this.#splice.copy({ start: member.start, end: member.value.start });
    this.#value(member.value, element, depth);
    this.#splice.copy({ start: member.value.end, end: member.end });
  }

  #value(value: Span, element: Element | undefined, depth: number): void {
    if (depth > MAX_DEPTH)
      throw new HeadwaterError('corrupt', `its body is nested more than ${MAX_DEPTH} deep`);
    if (!element) this.#splice.copy(value);
    else if (isArrayAt(this.#bytes, value))
      copyParts(this.#splice, value, itemsOf(this.#bytes, value), (item) =>
        this.#value(item, element, depth + 1),
      );
    else if (!isObjectAt(this.#bytes, value)) this.#splice.copy(value);
    else if (element.of === 'resource') this.object(value, this.#typeOf(value), depth + 1);
    else if (element.of === 'type') this.object(value, element.type, depth + 1);
    else this.#splice.copy(value);
  }

  /** `"value":{"Quantity":{…}}` becomes `"valueQuantity":{…}`; `_value`, with the extensions of a primitive value, likewise. */
  #choice({ name, value }: Member, { types }: Extract<Element, { of: 'choice' }>, depth: number): void {
    const [only, ...more] = isObjectAt(this.#bytes, value) ? membersOf(this.#bytes, value) : [];
    if (!only || more.length > 0 || (types !== 'any' && !types.has(only.name)))
      throw new HeadwaterError('corrupt', `its element ${name} is no object with its type as the one key`);
    this.#splice.insert(`"${name}${only.name.charAt(0).toUpperCase()}${only.name.slice(1)}":`);
    this.#value(only.value, siblingOf(name) ?? { of: 'type', type: only.name }, depth);
  }

  /** FHIR's own form of references is in extensions that are stored as they came. */
  #isOwnReference(members: readonly Member[]): boolean {
    const has = (name: string): boolean => members.some((member) => member.name === name);
    return !has('reference') && (has('id') || has('uri') || has('localRef') || has('resourceType'));
  }

  #reference(members: readonly Member[], depth: number): void {
    const text = (name: string): string | undefined => {
      const member = members.find((one) => one.name === name);
      const value = member && parseOf(this.#bytes, member.value);
      return typeof value === 'string' ? value : undefined;
    };
    const [uri, local, type, id] = [text('uri'), text('localRef'), text('resourceType'), text('id')];
    const target =
      uri ??
      (local === undefined ? undefined : `#${local}`) ??
      (type === undefined || id === undefined ? undefined : `${type}/${id}`) ??
      (this.#dialect === 'fhirbase' ? id : undefined);
    if (target === undefined)
      throw new HeadwaterError('corrupt', 'a reference in it has only one of id and resourceType');
    const own = new Set(['uri', 'localRef', 'resourceType', 'id']);
    const rest = members.filter(({ name }) => !own.has(name));
    this.#splice.insert(`{"reference":${asciiJson(target)}`);
    const elements = elementsOf('Reference');
    for (const member of rest) {
      this.#splice.insert(',');
      this.#member(member, elements.get(member.name) ?? siblingOf(member.name), depth);
    }
    this.#splice.insert('}');
  }

  #typeOf(resource: Span): string {
    const member = membersOf(this.#bytes, resource).find(({ name }) => name === 'resourceType');
    const type = member && parseOf(this.#bytes, member.value);
    if (typeof type === 'string') return type;
    throw new HeadwaterError('corrupt', 'a resource within it has no resourceType');
  }
}

/** The element of `valueQuantity`: FHIR's own form, in extensions that are stored as they came. */
function chosen(elements: ReadonlyMap<string, Element>, name: string): Element | undefined {
  for (const element of elements.values()) {
    if (element.of !== 'choice' || !name.startsWith(element.name)) continue;
    const type = name.slice(element.name.length);
    if (/^[A-Z]/.test(type)) return { of: 'type', type };
  }
  return undefined;
}

/** `_birthDate` has the extensions of `birthDate`. */
function siblingOf(name: string): Element | undefined {
  return name.startsWith('_') ? { of: 'type', type: 'Element' } : undefined;
}
