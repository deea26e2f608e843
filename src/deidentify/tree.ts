import { HeadwaterError } from '../base/errors.ts';
import { isObject } from '../base/is-object.ts';
import { primitivesOf } from '../fhir/primitives.ts';
import { isResourceType } from '../fhir/resource-types.ts';
import { elementsOf } from '../fhir/types.ts';
import { isNumberText } from './number-text.ts';
import type { Primitive } from './number-text.ts';

/** Depth of elements in a resource. Deeper ones are refused. */
const MAX_DEPTH = 100;

/** An element of a resource, as FHIRPath sees it: `value` of type Quantity for `valueQuantity`. */
export interface Node {
  readonly name: string;
  /** The JSON member, such as `valueQuantity`. */
  readonly key: string;
  readonly isList: boolean;
  /** The type as R4 names it; `BackboneElement` or `Element` for an element with elements of its own. */
  readonly type: string;
  /** A resource is de-identified as a resource of its own. */
  readonly isResource: boolean;
  /** With indexes, as `Patient.name[0].given[1]`. */
  readonly path: string;
  readonly parent: Node | undefined;
  readonly children: Node[];
  /** Value of a primitive. */
  value: Primitive | undefined;
  /** JSON that stands in for the whole element. */
  replacement?: unknown;
  /** Whether a rule has touched it. */
  done: boolean;
}

/** A resource as a tree, and whether it had members that R4 does not define. The tree leaves them out. */
interface Tree {
  readonly root: Node;
  readonly hasUnknown: boolean;
}

/** Makes a tree of a parsed resource. Throws `corrupt` for what is not a resource of R4. */
export function treeOf(resource: unknown): Tree {
  const found = { unknown: false };
  const root = resourceNode(
    resource,
    { name: '', key: '', isList: false, path: '', parent: undefined },
    found,
    0,
  );
  if (!root) throw new HeadwaterError('corrupt', 'it is not a resource of R4');
  return { root, hasUnknown: found.unknown };
}

type Place = Pick<Node, 'name' | 'key' | 'isList' | 'path' | 'parent'>;
interface Found {
  unknown: boolean;
}

function resourceNode(json: unknown, place: Place, found: Found, depth: number): Node | undefined {
  const type = isObject(json) ? json.resourceType : undefined;
  if (!isObject(json) || typeof type !== 'string' || !isResourceType(type)) return undefined;
  const path = place.path === '' ? type : place.path;
  const node: Node = { ...place, path, type, isResource: true, children: [], value: undefined, done: false };
  const { resourceType, ...members } = json;
  addChildren(node, type, { members, found, depth });
  return node;
}

/** Adds the elements of a JSON object. `row` names the type or the path of a backbone element in the tables of R4. */
function addChildren(
  node: Node,
  row: string,
  { members, found, depth }: { members: Record<string, unknown>; found: Found; depth: number },
): void {
  if (depth > MAX_DEPTH) throw new HeadwaterError('corrupt', `elements are nested deeper than ${MAX_DEPTH}`);
  const keys = new Set(Object.keys(members).map((key) => key.replace(/^_/, '')));
  for (const key of keys) {
    const element = elementAt(row, key);
    const value = Object.hasOwn(members, key) ? members[key] : undefined;
    const extra = Object.hasOwn(members, `_${key}`) ? members[`_${key}`] : undefined;
    const isList = Array.isArray(value ?? extra);
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    const extras: readonly unknown[] = Array.isArray(extra) ? extra : [extra];
    for (let index = 0; index < Math.max(values.length, extras.length); index++) {
      const name = element?.name ?? key;
      const path = `${node.path}.${name}${isList ? `[${index}]` : ''}`;
      const place = { name, key, isList, path, parent: node };
      const child =
        element && childOf(element, place, { value: values[index], extra: extras[index], found, depth });
      if (child) node.children.push(child);
      else found.unknown = true;
    }
  }
}

/** An element as its tables say: the name in FHIRPath, the type, and the row of its own elements. */
interface Known {
  readonly name: string;
  readonly type: string;
  readonly row: string;
}

function elementAt(row: string, key: string): Known | undefined {
  const primitive = primitivesOf(row).get(key);
  if (primitive !== undefined) return { name: key, type: primitive, row: 'Element' };
  const element = elementsOf(row).get(key);
  if (element?.of === 'resource') return { name: key, type: 'Resource', row: '' };
  if (element?.of === 'type') {
    const type = !element.type.includes('.')
      ? element.type
      : isResourceType(element.type.split('.')[0] ?? '')
        ? 'BackboneElement'
        : 'Element';
    return { name: key, type, row: element.type };
  }
  for (const choice of elementsOf(row).values()) {
    if (choice.of !== 'choice' || !key.startsWith(choice.name)) continue;
    const suffix = key.slice(choice.name.length);
    const lower = suffix.charAt(0).toLowerCase() + suffix.slice(1);
    const types = choice.types;
    const type = [suffix, lower].find((one) => (types === 'any' ? isDataType(one) : types.has(one)));
    if (type !== undefined) return { name: choice.name, type, row: isPrimitive(type) ? 'Element' : type };
  }
  return undefined;
}

const isPrimitive = (type: string): boolean => /^[a-z]/.test(type);
/** Types of `value[x]` of an extension (https://hl7.org/fhir/R4/datatypes.html#open). */
const OPEN =
  /^(base64Binary|boolean|canonical|code|date|dateTime|decimal|id|instant|integer|markdown|oid|positiveInt|string|time|unsignedInt|uri|url|uuid)$/;
const isDataType = (type: string): boolean =>
  OPEN.test(type) || (/^[A-Z]/.test(type) && primitivesOf(type).size > 0 && !isResourceType(type));

function childOf(
  { type, row }: Known,
  place: Place,
  { value, extra, found, depth }: { value: unknown; extra: unknown; found: Found; depth: number },
): Node | undefined {
  if (type === 'Resource') return resourceNode(value, place, found, depth + 1);
  const node: Node = { ...place, type, isResource: false, children: [], value: undefined, done: false };
  if (isPrimitive(type)) {
    if (isValue(value)) node.value = value;
    else if (value !== undefined && value !== null) return undefined;
    if (isObject(extra)) addChildren(node, row, { members: extra, found, depth: depth + 1 });
    return node;
  }
  if (!isObject(value) || isNumberText(value)) return undefined;
  addChildren(node, row, { members: value, found, depth: depth + 1 });
  return node;
}

function isValue(value: unknown): value is Primitive {
  return ['string', 'number', 'boolean'].includes(typeof value) || isNumberText(value);
}

/** The element, its elements, and theirs, without what is inside resources within. */
export function* descendantsOf(node: Node): Generator<Node> {
  for (const child of node.children) {
    yield child;
    if (!child.isResource) yield* descendantsOf(child);
  }
}
