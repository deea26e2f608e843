import { descendantsOf } from './tree.ts';
import type { Node } from './tree.ts';

interface Index {
  readonly types: ReadonlyMap<string, readonly Node[]>;
  readonly names: ReadonlyMap<string, readonly Node[]>;
}
const indexes = new WeakMap<Node, Index>();

/** The resource and its elements, listed once for all rules. */
export function indexOf(root: Node): Index {
  const known = indexes.get(root);
  if (known) return known;
  const all = [root, ...descendantsOf(root)];
  const index = { types: Map.groupBy(all, ({ type }) => type), names: Map.groupBy(all, ({ name }) => name) };
  indexes.set(root, index);
  return index;
}
