import { HeadwaterError } from '../base/errors.ts';
import type { ExportLevel, ExportParameters, OutputFormat, ProvenanceMode } from '../events/request.ts';
import { parseElements } from '../fhir/elements.ts';
import { parseInstant } from '../fhir/instant.ts';
import { isCompartmentType } from '../fhir/patient-compartment.ts';
import { isId } from '../fhir/reference.ts';
import type { References } from '../fhir/reference.ts';
import { isResourceType } from '../fhir/resource-types.ts';
import { parseTypeFilter, splitTypeFilters } from '../fhir/search/type-filter.ts';
import { bad, quoted, shortened } from './raw-parameters.ts';
import type { RawParameter } from './raw-parameters.ts';

/** What an operation is called on. */
export interface ExportTarget {
  readonly level: ExportLevel;
  /** Id of the Group. */
  readonly group?: string;
  /** Id of the one Patient. */
  readonly patient?: string;
}

export interface ParseOptions {
  /** `Prefer: handling=lenient`: what can be ignored without returning what nobody may have is ignored, and said. */
  readonly lenient: boolean;
  /** Whether a system export that names no types holds Binary. */
  readonly binary: boolean;
  /** Folders that `_container` may name. */
  readonly containers: readonly string[];
  /** What names a patient of this server. */
  readonly references: References;
}

export const FORMATS: ReadonlyMap<string, OutputFormat> = new Map([
  ['application/fhir+ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['ndjson', 'ndjson'],
  ['application/fhir+ndjson+gzip', 'ndjson+gzip'],
]);

/** They are part of one record of the log. For more there are Groups. */
const MOST_PATIENTS = 100_000;
/** Of all parameters together, which are part of one record of the log. */
const MOST_BYTES = 7 * 2 ** 20;
/** Each is a line of the export's `error` file, and part of its request. */
const MOST_WARNINGS = 100;

const KNOWN = [
  '_outputFormat',
  '_since',
  '_until',
  '_type',
  '_typeFilter',
  '_elements',
  'patient',
  'includeAssociatedData',
  'organizeOutputBy',
  'allowPartialManifests',
  '_container',
] as const;

/**
 * Checks what was asked for. Throws `bad-request` that names the first thing wrong. With lenient handling, what is unknown or
 * not supported becomes a warning instead; never what says whose data, from when, or in which form.
 */
export function parseExportParameters(
  raw: readonly RawParameter[],
  target: ExportTarget,
  options: ParseOptions,
): ExportParameters {
  const reading = new Reading(raw, target, options);
  reading.refuseUnknown();
  const types = reading.types();
  const parameters: ExportParameters = {
    level: target.level,
    group: target.group,
    patients: reading.patients(),
    types,
    binary: options.binary,
    since: reading.instant('_since'),
    until: reading.instant('_until'),
    outputFormat: reading.format(),
    typeFilters: reading.typeFilters(types),
    elements: reading.elements(),
    provenance: reading.provenance(),
    organizeBy: reading.organizeBy(types),
    partialManifests: reading.flag('allowPartialManifests'),
    separateStatus: false,
    container: reading.container(),
    warnings: reading.warnings,
  };
  const { since, until } = parameters;
  if (since !== undefined && until !== undefined && (parseInstant(since) ?? 0) >= (parseInstant(until) ?? 0))
    throw bad('_until', `_until: ${quoted(until)} is not later than _since, ${quoted(since)}`);
  const bytes = Buffer.byteLength(JSON.stringify(parameters));
  if (bytes > MOST_BYTES)
    throw bad(
      'parameter',
      `all parameters together have ${bytes} bytes, ${MOST_BYTES} are possible; ask for less`,
    );
  return parameters;
}

/** Clients ask for the devices of patients, and would take what is missing for not there. */
const DEVICES =
  '_type: the Patient compartment of FHIR R4 has no Device. This export holds the devices that resources in the compartments refer to, not those that only name their patient in Device.patient; a system export holds all.';

class Reading {
  readonly warnings: string[] = [];
  readonly #raw: readonly RawParameter[];
  readonly #target: ExportTarget;
  readonly #options: ParseOptions;

  constructor(raw: readonly RawParameter[], target: ExportTarget, options: ParseOptions) {
    this.#raw = raw;
    this.#target = target;
    this.#options = options;
  }

  refuseUnknown(): void {
    for (const name of new Set(this.#raw.map((parameter) => parameter.name))) {
      if (isKnown(name)) continue;
      this.#ignore(name, `parameter ${quoted(name)} is not supported; those that are: ${KNOWN.join(', ')}`);
    }
  }

  /** `a,b` and repeats are the same; order and repetition mean nothing. */
  types(): readonly string[] {
    const types = this.#known('_type', (type) => {
      if (!isResourceType(type))
        throw bad('_type', `_type: ${quoted(type)} is not a resource type of FHIR R4`);
    });
    if (this.#target.level !== 'system' && types.includes('Device')) this.warnings.push(DEVICES);
    return types;
  }

  patients(): readonly string[] {
    const { level, patient } = this.#target;
    const given = this.#list('patient');
    const [first] = given;
    if (first !== undefined && level === 'system')
      throw bad(
        'patient',
        `patient: ${quoted(first)} is no part of a system export; ask Patient/$export or Group/[id]/$export`,
      );
    if (first !== undefined && patient !== undefined)
      throw bad(
        'patient',
        `patient: ${quoted(first)} is given to an export of Patient/${patient} alone; ask Patient/$export`,
      );
    const ids = given.map((text) => {
      const referred = isId(text) ? { type: 'Patient', id: text } : this.#options.references.parse(text);
      if (referred?.type !== 'Patient')
        throw bad(
          'patient',
          `patient: ${quoted(text)} is not a reference like Patient/123 to a patient here`,
        );
      return referred.id;
    });
    const unique = [...new Set(patient === undefined ? ids : [patient])];
    if (unique.length > MOST_PATIENTS)
      throw bad(
        'patient',
        `patient: ${unique.length} are given, ${MOST_PATIENTS} at most; make a Group of them`,
      );
    return unique;
  }

  /** Whether `_since` is in the future, the planner decides: by the log's clock, which this process does not know. */
  instant(name: '_since' | '_until'): string | undefined {
    const text = this.#once(name);
    if (text === undefined) return undefined;
    const time = parseInstant(text);
    if (time === undefined)
      throw bad(name, `${name}: ${quoted(text)} is not a FHIR instant, as 2026-01-31T12:00:00.000Z`);
    return text;
  }

  format(): OutputFormat {
    const text = this.#once('_outputFormat');
    const format = text === undefined ? 'ndjson' : FORMATS.get(text.toLowerCase());
    if (format) return format;
    throw bad(
      '_outputFormat',
      `_outputFormat: ${quoted(text ?? '')} is none of ${[...FORMATS.keys()].join(', ')}`,
    );
  }

  typeFilters(types: readonly string[]): readonly string[] {
    const queries = this.#values('_typeFilter').flatMap(
      (value) => this.#understood('_typeFilter', () => splitTypeFilters(value)) ?? [],
    );
    return [...new Set(queries)].filter((query) =>
      this.#understood('_typeFilter', () => {
        // U+FFFD stands where a query was not UTF-8. The others can be in JSON, but not be stored.
        if (/[\0\uFFFD]/.test(query) || !query.isWellFormed())
          throw bad('_typeFilter', `_typeFilter: ${quoted(query)} is no text in UTF-8`);
        const { type } = parseTypeFilter(query, this.#options.references);
        if (types.length > 0 && !types.includes(type))
          throw bad('_typeFilter', `_typeFilter: ${quoted(query)} is of a type that _type leaves out`);
        if (types.length === 0 && type === 'Binary' && !this.#options.binary)
          throw bad('_typeFilter', `_typeFilter: ${quoted(query)} needs a _type that names Binary`);
        return true;
      }),
    );
  }

  elements(): readonly string[] {
    return this.#known('_elements', (element) => void parseElements([element]));
  }

  /** When both are asked for, the one that leaves out less. */
  provenance(): ProvenanceMode {
    const modes = this.#list('includeAssociatedData').flatMap((code): ProvenanceMode[] => {
      if (code === 'LatestProvenanceResources') return ['latest'];
      if (code === 'RelevantProvenanceResources') return ['relevant'];
      this.#ignore(
        'includeAssociatedData',
        `includeAssociatedData: ${quoted(code)} is none of LatestProvenanceResources, RelevantProvenanceResources`,
      );
      return [];
    });
    return modes.includes('relevant') ? 'relevant' : (modes[0] ?? 'in-scope');
  }

  organizeBy(types: readonly string[]): string | undefined {
    const type = this.#once('organizeOutputBy');
    if (type === undefined) return undefined;
    const outside = types.find((one) => !isCompartmentType(one));
    const problem =
      type !== 'Patient'
        ? 'is not supported, only Patient is'
        : this.#target.level === 'system'
          ? 'leaves out what belongs to no patient; ask Patient/$export or Group/[id]/$export'
          : outside !== undefined
            ? `has no place for ${outside}, which _type names`
            : this.#values('includeAssociatedData').length > 0
              ? 'does not go together with includeAssociatedData'
              : undefined;
    if (problem === undefined) return type;
    this.#ignore('organizeOutputBy', `organizeOutputBy: ${quoted(type)} ${problem}`);
    return undefined;
  }

  flag(name: 'allowPartialManifests'): boolean {
    const text = this.#once(name);
    if (text === undefined || text === 'false') return false;
    if (text === 'true') return true;
    this.#ignore(name, `${name}: ${quoted(text)} is neither true nor false`);
    return false;
  }

  container(): string | undefined {
    const name = this.#once('_container');
    if (name === undefined || this.#options.containers.includes(name)) return name;
    throw bad('_container', `_container: ${quoted(name)} is none that this server is configured to write to`);
  }

  /** The value of a parameter that may be given once. A `+` that was not escaped has become a space; no such value has spaces. */
  #once(name: string): string | undefined {
    const values = this.#values(name);
    if (values.length > 1)
      throw bad(
        name,
        `${name} is given ${values.length} times, last as ${quoted(values.at(-1) ?? '')}; once is allowed`,
      );
    return values[0]?.trim().replaceAll(' ', '+');
  }

  /** The values of a list that are understood. An empty one counts: `_type=` must not mean every type. */
  #known(name: string, check: (value: string) => void): readonly string[] {
    const given = this.#list(name);
    const known = given.filter((value) => this.#understood(name, () => (check(value), true)));
    if (given.length === 0 || known.length > 0) return known;
    const all = shortened(given.map(quoted).join(', '), 200);
    throw bad(name, `${name}: ${all}: nothing of it is understood, and nothing must not become everything`);
  }

  /** Values with commas, which some clients encode twice; each once. */
  #list(name: string): string[] {
    const values = this.#values(name).flatMap((value) => value.split(/,|%2C/i));
    return [...new Set(values.map((value) => value.trim()))];
  }

  #values(name: string): string[] {
    return this.#raw
      .filter((parameter) => parameter.name === name)
      .map(({ value }) => {
        if (value !== undefined) return value;
        throw bad(name, `${name}: it must have one value, which is a string, a boolean or a reference`);
      });
  }

  #understood<T>(name: string, parse: () => T): T | undefined {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof HeadwaterError) || error.code !== 'bad-request') throw error;
      this.#ignore(name, error.message);
      return undefined;
    }
  }

  /** Refuses, or with lenient handling notes that it is ignored. */
  #ignore(name: string, message: string): void {
    const words = shortened(message, 300)
      .toWellFormed()
      .replaceAll(/\p{Cc}/gu, '\uFFFD');
    if (!this.#options.lenient) throw bad(name, words);
    if (this.warnings.length === MOST_WARNINGS)
      throw bad(name, `${words}; ${MOST_WARNINGS} other things would be ignored already`);
    this.warnings.push(`Ignored: ${words}`);
  }
}

function isKnown(name: string): boolean {
  return (KNOWN as readonly string[]).includes(name);
}
