import { isObject } from '../base/is-object.ts';

/** R4's id (https://hl7.org/fhir/R4/datatypes.html#id). */
const ID = /^[A-Za-z0-9\-.]{1,64}$/;
const RELATIVE = /^([A-Z][A-Za-z]+)\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/;
/** A search that can only find the one resource of that id. */
const BY_ID = /^([A-Z][A-Za-z]+)\/?\?_id=([A-Za-z0-9\-.]{1,64})$/;
const LOGICAL = /^([A-Z][A-Za-z]+)\/?\?/;
const ABSOLUTE = /^([A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]*)(.*)$/s;
const UUID = /^urn:uuid:([A-Fa-f0-9]{8}(?:-[A-Fa-f0-9]{4}){3}-[A-Fa-f0-9]{12})$/;

export function isId(text: string): boolean {
  return ID.test(text);
}

/** A resource of this server. */
export interface Referred {
  readonly type: string;
  readonly id: string;
}

/**
 * Resolves references (https://hl7.org/fhir/R4/references.html). The one place that decides whether a reference is to a resource
 * of this server: relative ones are, and absolute ones below one of the server's base URLs, with or without a version.
 */
export class References {
  readonly baseUrls: readonly string[];
  /** The base URLs, each with a slash at the end. */
  readonly #bases: readonly string[];

  /** @param baseUrls by which resources of this server are known, as `https://fhir.example.org/r4` */
  constructor(baseUrls: readonly string[]) {
    this.baseUrls = baseUrls;
    this.#bases = baseUrls.map((url) => `${canonical(url).replace(/\/+$/, '')}/`);
  }

  /** Resolves a literal reference. Returns undefined for another server's, a contained resource, a search by anything but an id, and other text. */
  parse(reference: unknown): Referred | undefined {
    const local = typeof reference === 'string' ? this.#local(reference) : undefined;
    if (local === undefined) return undefined;
    const [, type, id] = RELATIVE.exec(local) ?? BY_ID.exec(local) ?? [];
    return type === undefined || id === undefined ? undefined : { type, id };
  }

  /** Resolves a Reference element. A `urn:uuid:` names the resource whose id is that UUID when the element says its type. */
  of(element: unknown): Referred | undefined {
    if (!isObject(element)) return undefined;
    const { reference, type } = element;
    const [, uuid] = (typeof reference === 'string' && UUID.exec(reference)) || [];
    if (uuid === undefined) return this.parse(reference);
    return typeof type === 'string' ? { type, id: uuid.toLowerCase() } : undefined;
  }

  /** Whether it names a resource of this server by something else than its id: an identifier, or a search. */
  isLogical(element: unknown): boolean {
    if (!isObject(element)) return false;
    const { reference, identifier } = element;
    if (reference === undefined) return isObject(identifier);
    const local = typeof reference === 'string' ? this.#local(reference) : undefined;
    return local !== undefined && LOGICAL.test(local) && this.parse(reference) === undefined;
  }

  /** An absolute reference below a base as a relative one; anything else as it is. */
  relative(reference: string): string {
    if (!reference.includes(':')) return reference;
    const local = this.#local(reference);
    return local !== undefined && RELATIVE.test(local) ? local : reference;
  }

  /** Returns the reference relative to this server; undefined if it is another server's. */
  #local(reference: string): string | undefined {
    if (!reference.includes(':')) return reference;
    const url = canonical(reference);
    const base = this.#bases.find((one) => url.startsWith(one));
    if (base !== undefined) return url.slice(base.length);
    return LOGICAL.test(reference) ? reference : undefined; // the colon is part of what is searched for
  }
}

/** For those who know of no base URL. */
export const RELATIVE_REFERENCES = new References([]);

/** Scheme and host mean the same in any case. */
function canonical(url: string): string {
  const [, origin, rest] = ABSOLUTE.exec(url) ?? [];
  return origin === undefined
    ? url
    : `${origin.toLowerCase().replace(/^(http:.*):80$|^(https:.*):443$/, '$1$2')}${rest}`;
}
