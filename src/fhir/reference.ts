/** R4's id (https://hl7.org/fhir/R4/datatypes.html#id). */
const ID = /^[A-Za-z0-9\-.]{1,64}$/;
const RELATIVE = /^([A-Z][A-Za-z]+)\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/;

export function isId(text: string): boolean {
  return ID.test(text);
}

/**
 * What a relative literal reference names, perhaps by one of its versions. undefined for anything else: an absolute one may be
 * another server's (https://hl7.org/fhir/R4/references.html#literal).
 */
export function parseReference(
  reference: unknown,
): { readonly type: string; readonly id: string } | undefined {
  const [, type, id] = (typeof reference === 'string' && RELATIVE.exec(reference)) || [];
  return type === undefined || id === undefined ? undefined : { type, id };
}
