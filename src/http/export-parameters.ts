import { HeadwaterError } from '../base/errors.ts';
import type { ExportLevel, ExportParameters, OutputFormat, ProvenanceMode } from '../events/request.ts';
import { parseElements } from '../fhir/elements.ts';
import { parseInstant } from '../fhir/instant.ts';
import { isCompartmentType } from '../fhir/patient-compartment.ts';
import { isResourceType } from '../fhir/resource-types.ts';
import { parseTypeFilter, splitTypeFilters } from '../fhir/search/type-filter.ts';
import { bad, quoted } from './raw-parameters.ts';
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
  /** ms since 1970. */
  readonly now: number;
  /** `Prefer: handling=lenient`: what can be ignored without returning what nobody may have is ignored, and said. */
  readonly lenient: boolean;
  /** Folders that `_container` may name. */
  readonly containers: readonly string[];
}

export const FORMATS: ReadonlyMap<string, OutputFormat> = new Map([
  ['application/fhir+ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['ndjson', 'ndjson'],
  ['application/fhir+ndjson+gzip', 'ndjson+gzip'],
]);

/** Clocks differ: the time of an export just done, by the database's clock, must not be "the future" to this one. */
const CLOCK_TOLERANCE_MS = 60_000;
/** Each task carries them. For more there are Groups. */
const MOST_PATIENTS = 10_000;

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

const PATIENT = /^(?:Patient\/)?([A-Za-z0-9\-.]{1,64})$/;

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
  const [since, until] = [parameters.since, parameters.until].map((text) => text && parseInstant(text));
  if (since && until && since >= until) throw bad('_until', '_until: it must be later than _since');
  return parameters;
}

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
    const given = this.#list('_type');
    // An empty name too: `_type=` must not mean every type.
    const types = given.filter((type) => {
      if (isResourceType(type)) return true;
      this.#ignore('_type', `_type: ${quoted(type)} is not a resource type of FHIR R4`);
      return false;
    });
    if (given.length > 0 && types.length === 0)
      throw bad('_type', '_type: none of its types is one of FHIR R4, and none must not become every type');
    return [...new Set(types)];
  }

  patients(): readonly string[] {
    const { level, patient } = this.#target;
    const given = this.#list('patient');
    if (given.length > 0 && level === 'system')
      throw bad(
        'patient',
        'patient: a system export is not of patients; ask Patient/$export or Group/[id]/$export',
      );
    if (given.length > 0 && patient !== undefined)
      throw bad('patient', `patient: this export is of Patient/${patient} alone; ask Patient/$export`);
    const ids = given.map((text) => {
      const id = PATIENT.exec(text)?.[1];
      if (id === undefined)
        throw bad(
          'patient',
          `patient: ${quoted(text)} is not a reference like Patient/123 to a patient here`,
        );
      return id;
    });
    const unique = [...new Set(patient === undefined ? ids : [patient])];
    if (unique.length > MOST_PATIENTS)
      throw bad(
        'patient',
        `patient: ${unique.length} are given, ${MOST_PATIENTS} at most; make a Group of them`,
      );
    return unique;
  }

  instant(name: '_since' | '_until'): string | undefined {
    const text = this.#once(name);
    if (text === undefined) return undefined;
    const time = parseInstant(text);
    if (time === undefined)
      throw bad(name, `${name}: ${quoted(text)} is not a FHIR instant, as 2026-01-31T12:00:00.000Z`);
    if (name === '_since' && time > this.#options.now + CLOCK_TOLERANCE_MS)
      throw bad(name, `${name}: ${quoted(text)} is in the future`);
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
      (value) => this.#try('_typeFilter', () => splitTypeFilters(value)) ?? [],
    );
    return queries.filter((query) => {
      const filter = this.#try('_typeFilter', () => parseTypeFilter(query));
      if (!filter) return false;
      if (types.length === 0 || types.includes(filter.type)) return true;
      this.#ignore('_typeFilter', `_typeFilter: ${quoted(query)} is of a type that _type leaves out`);
      return false;
    });
  }

  elements(): readonly string[] {
    const given = this.#list('_elements');
    const elements = given.filter((one) => this.#try('_elements', () => parseElements([one])) !== undefined);
    if (given.length > 0 && elements.length === 0)
      throw bad(
        '_elements',
        '_elements: none of its elements is known, and none must not become all of them',
      );
    return [...new Set(elements)];
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
        ? `${quoted(type)} is not supported, only Patient is`
        : this.#target.level === 'system'
          ? 'what belongs to no patient has no place in it; ask Patient/$export or Group/[id]/$export'
          : outside !== undefined
            ? `${outside}, which _type names, belongs to no patient`
            : undefined;
    if (problem === undefined) return type;
    this.#ignore('organizeOutputBy', `organizeOutputBy: ${problem}`);
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
    if (values.length > 1) throw bad(name, `${name} is given ${values.length} times; once is allowed`);
    return values[0]?.trim().replaceAll(' ', '+');
  }

  /** Values with commas, which some clients encode twice. */
  #list(name: string): string[] {
    return this.#values(name).flatMap((value) => value.split(/,|%2C/i).map((part) => part.trim()));
  }

  #values(name: string): string[] {
    return this.#raw.filter((parameter) => parameter.name === name).map(({ value }) => value);
  }

  #try<T>(name: string, parse: () => T): T | undefined {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof HeadwaterError) || error.code !== 'bad-request') throw error;
      this.#ignore(name, `${name}: ${error.message}`);
      return undefined;
    }
  }

  /** Refuses, or with lenient handling notes that it is ignored. */
  #ignore(name: string, message: string): void {
    if (!this.#options.lenient) throw bad(name, message);
    this.warnings.push(`Ignored: ${message}`);
  }
}

function isKnown(name: string): boolean {
  return (KNOWN as readonly string[]).includes(name);
}
