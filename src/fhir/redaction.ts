import { isPrimitive, partOf, partsOf } from './parts.ts';
import type { Part } from './parts.ts';

/** One redaction of a rule. */
export interface Redaction {
  /**
   * An element from the root (`name`, `contact.name`, `component.note`; `value` is every type of a choice), `extension(url)` at the root or
   * after an element: its extensions with that url, or `**.Reference.display`: the text of every Reference, at any depth.
   */
  readonly path: string;
  /**
   * `remove` leaves the element out. `mask` replaces it by R4's extension for absent data, with the code `masked`. `year` keeps the year of a
   * date. `hash` replaces a text by its HMAC. `random` replaces a HumanName or a ContactPoint by an invented one.
   */
  readonly do: 'remove' | 'mask' | 'year' | 'hash' | 'random';
  /** With `remove`: the parts of the element that stay. */
  readonly keep?: readonly string[] | undefined;
  /** The key of `hash` and `random`. */
  readonly key?: RedactionKey | undefined;
}

export interface RedactionKey {
  readonly name: string;
  /** Tells whether two processes have the same key; see `fingerprintOf`. */
  readonly fingerprint: string;
  /** Only in the memory of a process that redacts. */
  readonly secret?: Uint8Array | undefined;
}

const DISPLAYS = '**.Reference.display';
const PATH = /^((?:\w+(?:\[x\])?\.)*)(?:extension\((\S+)\)|(\w+(?:\[x\])?))$/;
/** Elements that identify a resource, or that say what it means. */
const FIXED: ReadonlySet<string> = new Set(['id', 'resourceType', 'meta', 'contained', 'implicitRules']);
/** Parts that every element has; they have no values of their own. */
const OF_EVERY_ELEMENT: ReadonlySet<string> = new Set(['id', 'extension', 'modifierExtension']);
/** Types whose values may be any text. */
const TEXTS: ReadonlySet<string> = new Set(['string', 'markdown', 'id', 'uri', 'url', 'canonical']);
const HASHED: ReadonlySet<string> = new Set([...TEXTS, 'Identifier', 'Reference']);
const YEARS: ReadonlySet<string> = new Set(['date', 'dateTime']);
const INVENTED: ReadonlySet<string> = new Set(['HumanName', 'ContactPoint']);

export function isDisplays({ path }: Pick<Redaction, 'path'>): boolean {
  return path === DISPLAYS;
}

/** The steps of a path, and the url if it ends with `extension(url)`. */
export interface Steps {
  readonly names: readonly string[];
  readonly extension: string | undefined;
}

/** Returns undefined for a text that is no path of elements. */
export function stepsOf({ path }: Pick<Redaction, 'path'>): Steps | undefined {
  const [, before, extension, last] = PATH.exec(path) ?? [];
  if (before === undefined) return undefined;
  const names = before.split('.').slice(0, -1);
  return { names: last === undefined ? names : [...names, last], extension };
}

/** An element that a path leads to. */
interface End {
  /** Such as `Patient.contact.name`. */
  readonly label: string;
  readonly part: Part;
}

/** Returns one sentence for each redaction that would keep data it names, or would make a resource invalid. */
export function redactionProblems(redactions: readonly Redaction[], types: readonly string[]): string[] {
  return redactions.flatMap((redaction) => problemOf(redaction, types) ?? []);
}

function problemOf(redaction: Redaction, types: readonly string[]): string | undefined {
  const { path, do: how, keep, key } = redaction;
  const keyed = how === 'hash' || how === 'random';
  if (keyed && key === undefined) return `${path}: ${how} needs a key`;
  if (!keyed && key !== undefined) return `${path}: ${how} uses no key`;
  if (keep !== undefined && how !== 'remove') return `${path}: keep names what remove leaves`;
  if (isDisplays(redaction)) return how === 'remove' && !keep ? undefined : `${path} can be removed only`;
  const steps = stepsOf(redaction);
  if (!steps) return `${path}: write elements with dots between them, extension(url) or ${DISPLAYS}`;
  const { names, extension } = steps;
  if (FIXED.has(names[0] ?? '')) return `${path} cannot be redacted`;
  if (extension !== undefined) {
    if (how !== 'remove' || keep) return `${path} can be removed only`;
    const found = names.length === 0 || types.some((type) => endsOf(type, names).length > 0);
    return found ? undefined : `${path} is an element of none of the rule's types`;
  }
  const ends = types.flatMap((type) => endsOf(type, names));
  if (ends.length === 0) return `${path} is an element of none of the rule's types`;
  if (OF_EVERY_ELEMENT.has(names.at(-1) ?? '') && (how !== 'remove' || keep))
    return `${path} can be removed only`;
  for (const end of ends) {
    const problem = keep ? problemOfKeep(end, keep) : PROBLEMS[how](end);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Returns the elements of a type that a path leads to: several if a choice of types is on its way. */
function endsOf(type: string, names: readonly string[]): End[] {
  let ends: { readonly at: readonly string[]; readonly label: string; readonly part?: Part }[] = [
    { at: [type], label: type },
  ];
  for (const name of names)
    ends = ends.flatMap(({ at, label }) =>
      at.flatMap((one) => {
        const part = one === 'Extension' || one === 'Resource' ? undefined : partOf(one, name);
        return part
          ? [{ at: part.keys.map(({ type: inner }) => inner), label: `${label}.${name}`, part }]
          : [];
      }),
    );
  return ends.flatMap(({ label, part }) => (part ? [{ label, part }] : []));
}

const typesOf = ({ part }: End): string[] => part.keys.map(({ type }) => type);
const mandatoryPartsOf = (type: string): string[] =>
  partsOf(type).flatMap(({ name, mandatory }) => (mandatory ? [name] : []));

const PROBLEMS: Readonly<Record<Redaction['do'], (end: End) => string | undefined>> = {
  remove: ({ label, part }) =>
    part.mandatory
      ? `${label} is mandatory, so it cannot be removed; mask it or redact its parts`
      : undefined,
  mask: (end) => {
    // R4 requires a code of its value set wherever the element is, and its rules ask for booleans.
    const bare =
      end.part.keys.length === 1 && typesOf(end).find((type) => type === 'code' || type === 'boolean');
    if (bare) return `${end.label} is a ${bare}, which has no masked form`;
    const [inner] = typesOf(end).flatMap(mandatoryPartsOf);
    return inner && `${end.label} cannot be masked, because its part ${inner} is mandatory: redact its parts`;
  },
  year: (end) => {
    if (typesOf(end).some((type) => YEARS.has(type))) return undefined;
    if (typesOf(end).includes('instant'))
      return `${end.label} is an instant: remove it, the year alone would be invalid`;
    return `${end.label} is no date, so it has no year`;
  },
  hash: (end) =>
    typesOf(end).some((type) => HASHED.has(type))
      ? undefined
      : `${end.label} cannot be hashed: only texts, Identifiers and References can`,
  random: (end) =>
    typesOf(end).every((type) => INVENTED.has(type))
      ? undefined
      : `${end.label}: random is for HumanName and ContactPoint`,
};

function problemOfKeep(end: End, keep: readonly string[]): string | undefined {
  const types = typesOf(end).filter((type) => !isPrimitive(type));
  if (types.length < end.part.keys.length) return `${end.label} has no parts to keep`;
  const unknown = keep.find((name) => !types.some((type) => partOf(type, name)));
  if (unknown !== undefined) return `${end.label} has no part ${unknown}`;
  const lost = types.flatMap(mandatoryPartsOf).find((name) => !keep.includes(name));
  return lost && `${end.label}: keep its mandatory part ${lost} as well`;
}

/** Whether values of a type may be replaced by a text of another kind. */
export function isText(type: string): boolean {
  return TEXTS.has(type);
}

export function hasYear(type: string): boolean {
  return YEARS.has(type);
}
