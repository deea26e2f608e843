import { isPrimitive, partOf, partsOf } from './parts.ts';
import type { Part } from './parts.ts';
import { hasYear, isDisplays, isText, stepsOf } from './redaction.ts';
import type { Redaction, RedactionKey } from './redaction.ts';
import { hashed, hashedReference, MASKED } from './replacement.ts';

/** The changes of an object's members. A member without a change stays as it is. */
export interface Plan {
  /** Keys are names in JSON. */
  readonly changes: ReadonlyMap<string, Change>;
  /** The only members that stay; undefined = all. */
  readonly kept: ReadonlySet<string> | undefined;
  /** The urls of extensions to remove. */
  readonly extensions: ReadonlySet<string>;
  /** Whether the display of References is removed, at any depth. */
  readonly displays: boolean;
}

/** The change of one member. `masked` is the member to write if nothing of a mandatory element is left. */
export type Change = (
  | { readonly do: 'remove' }
  /** Replaces each text; if it returns undefined, the text does not stay. */
  | { readonly do: 'rewrite'; readonly list: boolean; readonly rewrite: (text: string) => string | undefined }
  | { readonly do: 'invent'; readonly type: string; readonly key: RedactionKey }
  | { readonly do: 'enter'; readonly plan: Plan }
  /** The values are resources, which have redactions of their own. */
  | { readonly do: 'resources' }
) & { readonly masked?: string | undefined };

interface Node extends Plan {
  /** The type or backbone element whose members it is about. */
  readonly at: string;
  readonly changes: Map<string, Change>;
  kept: ReadonlySet<string> | undefined;
  readonly extensions: Set<string>;
}

/** The strongest change of an element counts. */
const STRENGTH: readonly Redaction['do'][] = ['remove', 'mask', 'random', 'hash', 'year'];
const YEAR = /^\d{4}/;

/** Compiles the redactions of a type. */
export function planOf(redactions: readonly Redaction[], type: string): Plan {
  const displays = redactions.some(isDisplays);
  const root = nodeOf(type, displays);
  const rank = ({ do: how, keep }: Redaction): number => (keep ? STRENGTH.length : STRENGTH.indexOf(how));
  for (const redaction of redactions.toSorted((a, b) => rank(a) - rank(b))) add(root, redaction);
  // The narrative repeats in words the values of elements.
  if (redactions.length > 0) add(root, { path: 'text', do: 'remove' });
  if (redactions.length > 0 && type === 'Composition') add(root, { path: 'section.text', do: 'remove' });
  root.changes.set('contained', { do: 'resources' });
  for (const entry of type === 'Bundle' ? enter([root], 'entry') : []) {
    put(entry, 'resource', { do: 'resources' });
    for (const response of enter([root, entry], 'response')) put(response, 'outcome', { do: 'resources' });
  }
  return root;
}

function nodeOf(at: string, displays: boolean): Node {
  return { at, displays, changes: new Map(), kept: undefined, extensions: new Set() };
}

function add(root: Node, redaction: Redaction): void {
  const steps = isDisplays(redaction) ? undefined : stepsOf(redaction);
  if (!steps) return;
  const { names, extension } = steps;
  const inner = extension !== undefined || redaction.keep !== undefined;
  let ways: Node[][] = [[root]];
  for (const name of inner ? names : names.slice(0, -1))
    ways = ways.flatMap((way) => enter(way, name).map((node) => [...way, node]));
  for (const node of ways.flatMap((way) => way.at(-1) ?? [])) {
    if (extension !== undefined) node.extensions.add(extension);
    else if (redaction.keep) keep(node, redaction.keep);
    else change(node, partOf(node.at, names.at(-1) ?? ''), redaction);
  }
}

/**
 * Returns the nodes below a member, one for each type of a choice, and makes those that are missing. An element that R4 defines by itself,
 * such as an item of an item, has the node of the outer one. So its redactions apply at any depth.
 */
function enter(way: readonly Node[], name: string): Node[] {
  const node = way.at(-1);
  const part = node && partOf(node.at, name);
  if (!part) return [];
  return part.keys.flatMap(({ key, type }) => {
    const primitive = isPrimitive(type);
    const member = primitive ? `_${key}` : key;
    const before = node.changes.get(member);
    if (before) return before.do === 'enter' ? [before.plan as Node] : [];
    const inner = way.find(({ at }) => at === type) ?? nodeOf(primitive ? 'Element' : type, node.displays);
    node.changes.set(member, {
      do: 'enter',
      plan: inner,
      masked: part.mandatory ? maskedOf(key, type, part) : undefined,
    });
    if (!primitive) put(node, `_${key}`, { do: 'remove' });
    if (type.includes('.')) enterLoops([...way, inner], type);
    return [inner];
  });
}

/** Makes the nodes on the ways from a backbone element to itself. */
function enterLoops(way: readonly Node[], goal: string): void {
  const at = way.at(-1)?.at ?? '';
  for (const { name, keys } of partsOf(at))
    for (const { type } of keys)
      if (type === goal) enter(way, name);
      else if (type.startsWith(`${at}.`) && leadsTo(type, goal))
        for (const inner of enter(way, name)) enterLoops([...way, inner], goal);
}

function leadsTo(at: string, goal: string): boolean {
  return partsOf(at).some(({ keys }) =>
    keys.some(({ type }) => type === goal || (type.startsWith(`${at}.`) && leadsTo(type, goal))),
  );
}

function keep(node: Node, names: readonly string[]): void {
  const keys = names.flatMap((name) => partOf(node.at, name)?.keys ?? []);
  const kept = new Set(keys.flatMap(({ key }) => [key, `_${key}`]));
  node.kept = node.kept ? kept.intersection(node.kept) : kept;
}

/** An earlier change is stronger, unless it is about parts of the element only. */
function put(node: Node, member: string, made: Change): void {
  const before = node.changes.get(member);
  if (!before || before.do === 'enter') node.changes.set(member, made);
}

function change(node: Node, part: Part | undefined, redaction: Redaction): void {
  for (const { key, type } of part?.keys ?? []) {
    if (part && redaction.do === 'hash' && redaction.key && !isPrimitive(type)) {
      hashParts(node, part, key, redaction);
      continue;
    }
    const masked =
      redaction.do === 'mask' || part?.mandatory === true ? maskedOf(key, type, part) : undefined;
    const made = changeOf(type, part?.list === true, redaction);
    if (!made) continue;
    put(node, key, { ...made, masked });
    put(node, `_${key}`, { do: 'remove', masked });
  }
}

/** Returns undefined if a value of the type stays: a boolean of a choice holds no date. */
function changeOf(type: string, list: boolean, { do: how, key }: Redaction): Change | undefined {
  if (how === 'year' && type === 'boolean') return undefined;
  if (how === 'year' && hasYear(type))
    return { do: 'rewrite', list, rewrite: (text) => YEAR.exec(text)?.[0] };
  if (how === 'hash' && key && isText(type))
    return { do: 'rewrite', list, rewrite: (text) => hashed(text, key) };
  if (how === 'random' && key) return { do: 'invent', type, key };
  return { do: 'remove' };
}

/** Hashes the value of an Identifier, and the id of a Reference. */
function hashParts(node: Node, part: Part, key: string, { key: secret }: Redaction): void {
  const type = part.keys.find((one) => one.key === key)?.type;
  if ((type !== 'Identifier' && type !== 'Reference') || !secret)
    return put(node, key, { do: 'remove', masked: part.mandatory ? maskedOf(key, '', part) : undefined });
  const before = node.changes.get(key);
  if (before && before.do !== 'enter') return;
  for (const inner of enter([node], key).filter(({ at }) => at === type)) {
    const element = type === 'Identifier' ? 'value' : 'reference';
    const rewrite = (text: string): string =>
      type === 'Identifier' ? hashed(text, secret) : hashedReference(text, secret);
    put(inner, element, { do: 'rewrite', list: false, rewrite });
    put(inner, `_${element}`, { do: 'remove' });
    if (type === 'Identifier') continue;
    put(inner, 'display', { do: 'remove' });
    put(inner, '_display', { do: 'remove' });
    hashParts(inner, partOf('Reference', 'identifier') ?? part, 'identifier', {
      path: '',
      do: 'hash',
      key: secret,
    });
  }
}

/** Returns the member of a masked element. A primitive has it in its sibling. */
function maskedOf(key: string, type: string, part: Part | undefined): string {
  const value = part?.list === true ? `[${MASKED}]` : MASKED;
  return `"${isPrimitive(type) ? '_' : ''}${key}":${value}`;
}
