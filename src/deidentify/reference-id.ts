import { RESOURCE_TYPES } from '../fhir/resource-types.ts';

/** Literal references, as Microsoft's tool reads them: the id between what stays before and after it (R4, references.html#literal). */
const LITERALS = [
  new RegExp(
    String.raw`^((?:https?://[A-Za-z0-9/.:%$-]*)?(?:${RESOURCE_TYPES.join('|')})/)([A-Za-z0-9.-]{1,64})(/_history/[A-Za-z0-9.-]{1,64})?$`,
  ),
  /^(urn:oid:)([0-2](?:\.(?:0|[1-9]\d*))+)$/,
  /^(urn:uuid:)([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/i,
];

/** Replaces the id in a reference. Type, version and `#` stay. A text that is no literal reference is replaced whole. */
export function withOtherId(reference: string, replace: (id: string) => string): string {
  if (reference.startsWith('#')) return reference === '#' ? reference : `#${replace(reference.slice(1))}`;
  for (const literal of LITERALS) {
    const [, before, id, after = ''] = literal.exec(reference) ?? [];
    if (before !== undefined && id !== undefined) return before + replace(id) + after;
  }
  return replace(reference);
}
