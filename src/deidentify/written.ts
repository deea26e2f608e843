import type { Node } from './tree.ts';

/** The JSON of an element; undefined if nothing is left of it. */
export function writtenOf(node: Node): unknown {
  if (node.replacement !== undefined) return node.replacement;
  const members: Record<string, unknown> = node.isResource ? { resourceType: node.type } : {};
  for (const list of Map.groupBy(node.children, ({ key }) => key).values()) addMembers(members, list);
  const empty = Object.keys(members).length === (node.isResource ? 1 : 0);
  return empty ? undefined : members;
}

/** Adds the elements of one name. A primitive has its id and extensions in a second member, as `_birthDate`. */
function addMembers(members: Record<string, unknown>, nodes: readonly Node[]): void {
  const [first] = nodes;
  if (!first) return;
  const isPrimitive = /^[a-z]/.test(first.type);
  const parts = nodes.flatMap((node) => {
    const part: Part = isPrimitive
      ? {
          value: node.replacement ?? node.value,
          extra: node.replacement === undefined ? writtenOf(node) : undefined,
        }
      : { value: writtenOf(node), extra: undefined };
    return part.value === undefined && part.extra === undefined ? [] : [part];
  });
  const set = (key: string, values: readonly unknown[]): void => {
    if (values.every((value) => value === undefined)) return;
    members[key] = first.isList ? values.map((value) => value ?? null) : values[0];
  };
  set(
    first.key,
    parts.map(({ value }) => value),
  );
  set(
    `_${first.key}`,
    parts.map(({ extra }) => extra),
  );
}

interface Part {
  readonly value: unknown;
  readonly extra: unknown;
}
