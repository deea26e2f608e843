import { readFileSync } from 'node:fs';
import { type ElementPath, parseElementPath, rootElementsOf } from './element-path.ts';

export type ParameterType =
  'token' | 'string' | 'date' | 'number' | 'quantity' | 'reference' | 'uri' | 'composite' | 'special';

/** A place where a search parameter finds values of one data type. */
export interface Leaf {
  readonly path: ElementPath;
  readonly dataType: string;
  /** For a `code`: the systems of its codes. For a Reference: the type that it must refer to, if only one counts. */
  readonly qualifiers: readonly string[];
}

/** One of the searches that a composite puts together, on an element of the resource. */
export interface CompositePart {
  readonly type: ParameterType;
  readonly leaves: readonly Leaf[];
}

export interface SearchParameter {
  readonly name: string;
  readonly type: ParameterType;
  /** URL of its definition. */
  readonly definition: string;
  /** Empty for a composite, and for a parameter that cannot be evaluated. */
  readonly leaves: readonly Leaf[];
  /** Types that its references may have; undefined when any. */
  readonly targets: readonly string[] | undefined;
  /** For a composite: the elements for which all parts must hold. */
  readonly roots: readonly ElementPath[];
  readonly parts: readonly CompositePart[];
}

interface Row {
  readonly type: ParameterType;
  readonly id: string;
  readonly paths?: readonly string[];
  readonly targets?: readonly string[];
  readonly parts?: readonly { readonly type: ParameterType; readonly paths: readonly string[] }[];
}

type Table = Readonly<Record<string, Readonly<Record<string, Row>>>>;

/** R4's search parameters by resource type; under `Resource` what every type has. `generate.mjs` makes it. */
// Read here: as an imported module its type would have thousands of members.
const TABLE = JSON.parse(
  readFileSync(new URL('search-parameters-r4.json', import.meta.url), 'utf8'),
) as Table;

/** The search parameter of that name, whether it can be evaluated or not. */
export function findSearchParameter(type: string, name: string): SearchParameter | undefined {
  const rows = [TABLE[type], TABLE['Resource']].find((own) => own !== undefined && Object.hasOwn(own, name));
  const row = rows?.[name];
  return row && parameterOf(name, row);
}

/** Returns the paths of the elements that a search parameter looks at, such as `name.family`, with their names in JSON. */
export function searchedPaths(type: string, name: string): string[] {
  const rows = [TABLE[type], TABLE['Resource']].find((own) => own !== undefined && Object.hasOwn(own, name));
  const { paths = [], parts } = rows?.[name] ?? {};
  const plain = (path: string): string => path.split(' ')[0]?.replaceAll(/\[.*?\]/g, '') ?? '';
  if (!parts) return paths.map(plain);
  const below = (root: string): string[] =>
    parts.flatMap((part) => part.paths.map((path) => plain(`${root}.${path}`)));
  return paths.flatMap((root) => below(plain(root))).map((path) => path.replace(/^\./, ''));
}

/** Returns the root elements that a search parameter looks at, with their names in JSON. */
export function searchedElements(type: string, name: string): string[] {
  return searchedPaths(type, name).flatMap(rootElementsOf);
}

/** Can it be evaluated on one resource? Not, for example, `_text`, `near` or `phonetic`. */
export function canEvaluate(parameter: SearchParameter): boolean {
  return parameter.leaves.length > 0 || parameter.parts.length > 0;
}

/** Every parameter that a `_typeFilter` for that type can use, by name. */
export function searchParametersOf(type: string): Pick<SearchParameter, 'name' | 'type' | 'definition'>[] {
  return Object.entries({ ...TABLE['Resource'], ...TABLE[type] })
    .map(([name, row]) => parameterOf(name, row))
    .filter(canEvaluate)
    .map(({ name, type: kind, definition }) => ({ name, type: kind, definition }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function parameterOf(name: string, row: Row): SearchParameter {
  const paths = row.paths ?? [];
  return {
    name,
    type: row.type,
    definition: `http://hl7.org/fhir/SearchParameter/${row.id}`,
    leaves: row.type === 'composite' ? [] : paths.map(parseLeaf),
    targets: row.targets,
    roots: row.type === 'composite' ? paths.map(parseElementPath) : [],
    parts: (row.parts ?? []).map((part) => ({ type: part.type, leaves: part.paths.map(parseLeaf) })),
  };
}

function parseLeaf(text: string): Leaf {
  const [path = '', dataType = '', ...qualifiers] = text.split(' ');
  return { path: parseElementPath(path), dataType, qualifiers };
}
