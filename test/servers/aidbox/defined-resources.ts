import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** A property as the npm package `fhir` reads it from R4's definitions. */
interface Property {
  readonly _name: string;
  /** A type, or `#` and the path of the element whose content it has. */
  readonly _type: string;
  readonly _multiple: boolean;
  /** `value[x]`, for `valueString`. */
  readonly _choice?: string;
  readonly _properties?: readonly Property[];
}

interface Definition {
  readonly _kind?: string;
  readonly _properties?: readonly Property[];
}

type Json = unknown;
type Members = Record<string, Json>;

/** The same content in FHIR's form and in Aidbox's. */
export interface Forms {
  readonly fhir: Json;
  readonly aidbox: Json;
}

const DEFINITIONS = JSON.parse(
  readFileSync(createRequire(import.meta.url).resolve('fhir/profiles/types.json'), 'utf8'),
) as Readonly<Record<string, Definition>>;

/** Data types hold data types, without end. */
const MOST_DATA_TYPES = 2;
/** An element may have the content of one that holds it. */
const MOST_AGAIN = 1;
/** The text of a decimal follows, as `numbersAsText` marks it. */
const NUMBER = '\u0000';

/** Types of FHIR's resources. */
export const DEFINED_TYPES = Object.keys(DEFINITIONS).filter(
  (type) => DEFINITIONS[type]?._kind === 'resource' && !/^(Domain)?Resource$/.test(type),
);

/**
 * Makes resources with every element of their type, in both forms. Elements with several types take the next one each time, and references the next of
 * their forms. It knows R4 from another source than `src/fhir/types-r4.json`.
 */
export class DefinedResources {
  /** `Patient.deceased` and the type it had. */
  readonly choices = new Set<string>();
  readonly #turns = new Map<string, number>();

  resource(type: string): Forms {
    const { fhir, aidbox } = this.#object(DEFINITIONS[type]?._properties ?? [], type, {
      again: 0,
      data: 0,
    });
    return { fhir: { ...(fhir as Members), id: 'a' }, aidbox: { ...(aidbox as Members), id: 'a' } };
  }

  /** The number of types that an element of this resource type may have at most. */
  static variants(type: string): number {
    const most = ({ _properties = [] }: Definition | Property): number =>
      Math.max(1, ...[...grouped(_properties).values()].map((all) => all.length), ..._properties.map(most));
    return most(DEFINITIONS[type] ?? {});
  }

  #object(properties: readonly Property[], path: string, depth: Depth): Forms {
    const [fhir, aidbox]: [Members, Members] = [{}, {}];
    const choices = grouped(properties);
    const siblingsOfChoices = new Set(
      properties.flatMap(({ _choice, _name }) => (_choice ? [`_${_name}`] : [])),
    );
    for (const property of properties) {
      const { _name: name, _choice, _multiple } = property;
      if (_choice !== undefined || siblingsOfChoices.has(name)) continue;
      const value = this.#value(property, `${path}.${name}`, depth);
      if (!value) continue;
      fhir[name] = _multiple ? [value.fhir] : value.fhir;
      aidbox[name] = _multiple ? [value.aidbox] : value.aidbox;
    }
    for (const [base, alternatives] of choices) {
      const chosen = alternatives[this.#turn(`${path}.${base}`) % alternatives.length];
      const value = chosen && this.#value(chosen, `${path}.${base}`, depth);
      if (!value) continue;
      this.choices.add(`${path}.${chosen._name}`);
      fhir[chosen._name] = value.fhir;
      aidbox[base] = { [chosen._type]: value.aidbox };
    }
    return { fhir, aidbox };
  }

  #value(
    { _type: type, _name: name, _properties = [] }: Property,
    path: string,
    depth: Depth,
  ): Forms | undefined {
    if (type === 'Resource') return depth.again > 0 ? undefined : this.#within();
    if (type === 'Reference') return this.#reference();
    if (type.startsWith('#')) {
      const deeper = { ...depth, again: depth.again + 1 };
      return deeper.again > MOST_AGAIN ? undefined : this.#object(at(type.slice(1)), type.slice(1), deeper);
    }
    if (_properties.length > 0) return this.#object(_properties, path, depth);
    const definition = DEFINITIONS[name.startsWith('_') ? 'Element' : type];
    if (definition?._kind === 'primitive-type' || type === 'xhtml') return primitive(type);
    const most = type === 'Extension' ? 1 : MOST_DATA_TYPES;
    if (depth.data >= most) return undefined;
    return this.#object(definition?._properties ?? [], type, { ...depth, data: depth.data + 1 });
  }

  #within(): Forms {
    const { fhir, aidbox } = this.#object(at('Observation.component'), 'Observation.component', {
      again: 1,
      data: 2,
    });
    const named = { resourceType: 'Observation', id: 'within' };
    return {
      fhir: { ...named, component: [fhir], effectiveDateTime: '2020' },
      aidbox: { ...named, component: [aidbox], effective: { dateTime: '2020' } },
    };
  }

  #reference(): Forms {
    const beside = { type: 'Patient', display: 'shown', identifier: { value: 'v' } };
    const forms: readonly Forms[] = [
      { fhir: { reference: 'Patient/p1' }, aidbox: { resourceType: 'Patient', id: 'p1' } },
      { fhir: { reference: 'http://x/Patient/1' }, aidbox: { uri: 'http://x/Patient/1' } },
      { fhir: { reference: '#c1' }, aidbox: { localRef: 'c1' } },
      { fhir: {}, aidbox: {} },
    ];
    const form = forms[this.#turn('Reference') % forms.length];
    return {
      fhir: { ...(form?.fhir as Members), ...beside },
      aidbox: { ...(form?.aidbox as Members), ...beside },
    };
  }

  #turn(of: string): number {
    const turn = this.#turns.get(of) ?? 0;
    this.#turns.set(of, turn + 1);
    return turn;
  }
}

interface Depth {
  readonly again: number;
  readonly data: number;
}

function grouped(properties: readonly Property[]): ReadonlyMap<string, readonly Property[]> {
  const choices = properties.filter(({ _choice }) => _choice !== undefined);
  return Map.groupBy(choices, ({ _choice = '' }) => _choice.replace('[x]', ''));
}

function at(path: string): readonly Property[] {
  const [type = '', ...names] = path.split('.');
  return names.reduce<readonly Property[]>(
    (properties, name) => properties.find(({ _name }) => _name === name)?._properties ?? [],
    DEFINITIONS[type]?._properties ?? [],
  );
}

function primitive(type: string): Forms {
  const value = valueOf(type);
  return { fhir: value, aidbox: value };
}

function valueOf(type: string): Json {
  if (type === 'boolean') return true;
  if (type === 'decimal') return `${NUMBER}1.10`;
  if (/^(integer|positiveInt|unsignedInt)$/.test(type)) return `${NUMBER}7`;
  return `a ${type} "größer"`;
}
