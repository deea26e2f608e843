import { bad, quoted } from '../base/bad-request.ts';
import { parseElements } from '../fhir/elements.ts';
import { parseInstant } from '../fhir/instant.ts';
import { isCompartmentType } from '../fhir/patient-compartment.ts';
import { isId } from '../fhir/reference.ts';
import type { References } from '../fhir/reference.ts';
import { isResourceType } from '../fhir/resource-types.ts';
import { parseTypeFilter, splitTypeFilters } from '../fhir/search/type-filter.ts';
import type { GivenParameter } from './given-parameter.ts';
import type { ExportLevel, ExportParameters, OutputFormat, ProvenanceMode } from './request.ts';

/** The operation's target. */
export interface ExportTarget {
  readonly level: ExportLevel;
  /** Id of the Group. */
  readonly group?: string;
  /** Id of the one Patient. */
  readonly patient?: string;
}

/** The facts, besides the given values, that a parameter's meaning depends on. */
export interface ParameterContext {
  readonly target: ExportTarget;
  /** Whether a system export that names no types holds Binary. */
  readonly binary: boolean;
  /** Folders that `_container` may name. */
  readonly containers: readonly string[];
  /** Decides which references name a patient of this server. */
  readonly references: References;
  /** The parameters that were read before: those of the rows above. */
  readonly read: Partial<ExportParameters>;
}

/** A parameter of `$export`. */
interface Row<Field extends keyof ExportParameters> {
  readonly name: string;
  /** FHIR data type in a Parameters resource; in a query the same as text. */
  readonly type: 'string' | 'instant' | 'boolean' | 'Reference';
  /** `*` = repeated, or a list with commas. */
  readonly max: '1' | '*';
  readonly levels: readonly ExportLevel[];
  readonly documentation: string;
  /** An example, as the value in a query. The examples of all parameters together are a valid request. */
  readonly example?: string;
  /** Option of `headwater export`, in commander's form. A repeated option is not a list with commas. */
  readonly option?: { readonly flags: string; readonly help: string; readonly repeated?: true };
  /** The field of `ExportParameters` that the parameter decides. */
  readonly field: Field;
  /** Reads the given values; there may be none. Throws `bad-request`. */
  readonly read: (given: GivenParameter, context: ParameterContext) => ExportParameters[Field];
}

export type ExportParameter = { [F in keyof ExportParameters]-?: Row<F> }[keyof ExportParameters];

export const FORMATS: ReadonlyMap<string, OutputFormat> = new Map([
  ['application/fhir+ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['ndjson', 'ndjson'],
  ['application/fhir+ndjson+gzip', 'ndjson+gzip'],
]);

/** The most patients that a request may name, because they are part of one record of the log. A Group may have more. */
const MAX_PATIENTS = 100_000;

const EVERY: readonly ExportLevel[] = ['system', 'patient', 'group'];
const OF_PATIENTS: readonly ExportLevel[] = ['patient', 'group'];

/**
 * Every parameter of `$export`, one row each, in the order in which they are read. All are optional. Parsing, OperationDefinitions, the
 * OpenAPI document and the command line are made from this table.
 */
export const EXPORT_PARAMETERS = [
  {
    name: '_outputFormat',
    type: 'string',
    max: '1',
    levels: EVERY,
    documentation: `Form of the files: ${[...FORMATS.keys()].join(', ')}; letter case does not count. The last one means files that are compressed as they are stored, \`.ndjson.gz\`; all others are the same, and the default.`,
    example: 'application/fhir+ndjson',
    option: { flags: '--format <mime>', help: '_outputFormat, such as application/fhir+ndjson+gzip' },
    field: 'outputFormat',
    read: readFormat,
  },
  {
    name: '_since',
    type: 'instant',
    max: '1',
    levels: EVERY,
    documentation:
      'Only what was committed after this instant, whatever meta.lastUpdated says; `deleted` names what was deleted since, and what left the export: resources that moved to other patients, and those of patients who left the group. Of patients who joined the group everything comes, however old. With the transactionTime of an earlier export both divide all changes without gap or overlap. Not in the future.',
    example: '2026-01-31T12:00:00.000Z',
    option: { flags: '--since <instant>', help: 'only what changed after this FHIR instant' },
    field: 'since',
    read: readInstant,
  },
  {
    name: '_until',
    type: 'instant',
    max: '1',
    levels: EVERY,
    documentation:
      'Leaves out every resource whose newest version was committed after this instant; older versions do not take its place. Later than _since.',
    example: '2026-02-28T12:00:00.000Z',
    option: { flags: '--until <instant>', help: 'only what changed until this FHIR instant' },
    field: 'until',
    read: readInstant,
  },
  {
    name: '_type',
    type: 'string',
    max: '*',
    levels: EVERY,
    documentation:
      'Resource types to return. Without it every type there is: of a system export all (Binary only if the server is set up so, which its CapabilityStatement says), of patients and groups those of the Patient compartment. What is in no compartment (Practitioner, Organization, Location, Medication and the like) comes with patients and groups when it is named here together with types that refer to it, and then only what they refer to.',
    example: 'Patient,Condition',
    option: { flags: '--type <list>', help: 'resource types, comma-separated (default: all)' },
    field: 'types',
    read: readTypes,
  },
  {
    name: '_typeFilter',
    type: 'string',
    max: '*',
    levels: EVERY,
    documentation:
      'A search on resources of one type, as `Type?parameter=value&…`; a resource of the type is returned when one of the searches of its type matches. Other types are not affected. Search parameters are those of the CapabilityStatement. Chains, _has, _sort, _include, :in, :above and whatever else needs more than the one resource are refused by name.',
    example: 'Condition?clinical-status=active',
    option: {
      flags: '--type-filter <query>',
      help: 'search, as Observation?status=final; repeated for more',
      repeated: true,
    },
    field: 'typeFilters',
    read: readTypeFilters,
  },
  {
    name: '_elements',
    type: 'string',
    max: '*',
    levels: EVERY,
    documentation:
      'Root elements to return, as `element` for every type that has it or `Type.element`. Of a choice of types value, value[x] and valueQuantity mean the same. resourceType, id, meta, mandatory elements and modifiers are kept, and contained resources that kept elements refer to; what was reduced has the tag SUBSETTED.',
    example: 'Patient.birthDate,id',
    option: { flags: '--elements <list>', help: 'only these elements, comma-separated, as id,Patient.name' },
    field: 'elements',
    read: (given) => given.known((element) => void parseElements([element])),
  },
  {
    name: 'patient',
    type: 'Reference',
    max: '*',
    levels: OF_PATIENTS,
    documentation:
      'Only the compartments of these patients, 100000 at most: references like Patient/123, in a query also ids with commas. The export fails when one of them is not there, or not in the group. Not where the URL names a patient.',
    example: 'Patient/123',
    option: {
      flags: '--patient <list>',
      help: 'of these patients alone, ids comma-separated; with --group, those who are members',
    },
    field: 'patients',
    read: readPatients,
  },
  {
    name: 'includeAssociatedData',
    type: 'string',
    max: '*',
    levels: EVERY,
    documentation:
      'LatestProvenanceResources or RelevantProvenanceResources: the last, or every Provenance of each returned resource; of both the second. Without it, and without a _type that leaves Provenance out, every Provenance of anything in scope is returned.',
    option: {
      flags: '--include-associated-data <list>',
      help: 'LatestProvenanceResources, RelevantProvenanceResources',
    },
    field: 'provenance',
    read: readProvenance,
  },
  {
    name: 'organizeOutputBy',
    type: 'string',
    max: '1',
    levels: OF_PATIENTS,
    documentation:
      'Patient: the lines of each file are grouped by patient, each group begun by a Parameters resource that names the patient. Only for types of the Patient compartment, and not with includeAssociatedData.',
    example: 'Patient',
    option: { flags: '--organize-output-by <type>', help: "Patient: each patient's resources together" },
    field: 'organizeBy',
    read: readOrganizeBy,
  },
  {
    name: 'allowPartialManifests',
    type: 'boolean',
    max: '1',
    levels: EVERY,
    documentation:
      'true: the manifest may come in pages joined by `link`, and the first ones while the export is running.',
    example: 'true',
    field: 'partialManifests',
    read: readFlag,
  },
  {
    name: '_container',
    type: 'string',
    max: '1',
    levels: EVERY,
    documentation: 'Folder to write into, one of those that HEADWATER_CONTAINERS allows.',
    field: 'container',
    read: readContainer,
  },
  {
    name: '_anonymizationConfig',
    type: 'string',
    max: '1',
    levels: EVERY,
    documentation:
      'Name of a configuration under `deidentification` of the access file, by which resources are de-identified. The role of the client has to permit it.',
    option: {
      flags: '--anonymization-config <name>',
      help: 'a configuration of the server that de-identifies',
    },
    field: 'deidentify',
    read: (given) => given.once(),
  },
  {
    name: '_anonymizationConfigEtag',
    type: 'string',
    max: '1',
    levels: EVERY,
    documentation:
      'sha256 of that configuration in hex, with or without quotes. If it has another, the answer is 412.',
    field: 'deidentifyEtag',
    read: readEtag,
  },
] as const satisfies readonly ExportParameter[];

/** The fields of a request that a client can set by a parameter. */
export type ParameterField = (typeof EXPORT_PARAMETERS)[number]['field'];

export function exportParametersOf(level: ExportLevel): readonly ExportParameter[] {
  return EXPORT_PARAMETERS.filter(({ levels }) => levels.includes(level));
}

function readFormat(given: GivenParameter): OutputFormat {
  const text = given.once();
  const format = text === undefined ? 'ndjson' : FORMATS.get(text.toLowerCase());
  if (format) return format;
  throw bad(given.name, `${given.name}: ${quoted(text ?? '')} is none of ${[...FORMATS.keys()].join(', ')}`);
}

/** Reads an instant. It may be in the future: the planner decides that, because only it knows the clock of the log. */
function readInstant(given: GivenParameter): string | undefined {
  const text = given.once();
  if (text === undefined) return undefined;
  if (parseInstant(text) === undefined)
    throw bad(
      given.name,
      `${given.name}: ${quoted(text)} is not a FHIR instant, as 2026-01-31T12:00:00.000Z`,
    );
  return text;
}

/** The warning for a client that asks for the devices of patients. Without it, the client would take missing devices for absent ones. */
const DEVICES =
  '_type: the Patient compartment of FHIR R4 has no Device. This export holds the devices that resources in the compartments refer to, not those that only name their patient in Device.patient; a system export holds all.';

function readTypes(given: GivenParameter, { target }: ParameterContext): readonly string[] {
  const types = given.known((type) => {
    if (!isResourceType(type))
      throw bad(given.name, `_type: ${quoted(type)} is not a resource type of FHIR R4`);
  });
  if (target.level !== 'system' && types.includes('Device')) given.warn(DEVICES);
  return types;
}

function readTypeFilters(given: GivenParameter, context: ParameterContext): readonly string[] {
  const queries = given.values().flatMap((value) => given.understood(() => splitTypeFilters(value)) ?? []);
  return [...new Set(queries)].filter((query) =>
    given.understood(() => (checkTypeFilter(query, context), true)),
  );
}

function checkTypeFilter(
  query: string,
  { references, binary, read: { types = [] } }: ParameterContext,
): void {
  // U+FFFD stands where a query was not UTF-8. PostgreSQL cannot store NUL and lone surrogates.
  if (/[\0\uFFFD]/.test(query) || !query.isWellFormed())
    throw bad('_typeFilter', `_typeFilter: ${quoted(query)} is no text in UTF-8`);
  const { type } = parseTypeFilter(query, references);
  if (types.length > 0 && !types.includes(type))
    throw bad('_typeFilter', `_typeFilter: ${quoted(query)} is of a type that _type leaves out`);
  if (types.length === 0 && type === 'Binary' && !binary)
    throw bad('_typeFilter', `_typeFilter: ${quoted(query)} needs a _type that names Binary`);
}

function readPatients(given: GivenParameter, { target, references }: ParameterContext): readonly string[] {
  const { level, patient } = target;
  const texts = given.list();
  const [first] = texts;
  if (first !== undefined && level === 'system')
    throw bad(
      given.name,
      `patient: ${quoted(first)} is no part of a system export; ask Patient/$export or Group/[id]/$export`,
    );
  if (first !== undefined && patient !== undefined)
    throw bad(
      given.name,
      `patient: ${quoted(first)} is given to an export of Patient/${patient} alone; ask Patient/$export`,
    );
  const ids = texts.map((text) => {
    const referred = isId(text) ? { type: 'Patient', id: text } : references.parse(text);
    if (referred?.type !== 'Patient')
      throw bad(given.name, `patient: ${quoted(text)} is not a reference like Patient/123 to a patient here`);
    return referred.id;
  });
  const unique = [...new Set(patient === undefined ? ids : [patient])];
  if (unique.length > MAX_PATIENTS)
    throw bad(
      given.name,
      `patient: ${unique.length} are given, ${MAX_PATIENTS} at most; make a Group of them`,
    );
  return unique;
}

/** When both codes are given, the one that leaves out less counts. */
function readProvenance(given: GivenParameter): ProvenanceMode {
  const modes = given.list().flatMap((code): ProvenanceMode[] => {
    if (code === 'LatestProvenanceResources') return ['latest'];
    if (code === 'RelevantProvenanceResources') return ['relevant'];
    given.ignore(
      `includeAssociatedData: ${quoted(code)} is none of LatestProvenanceResources, RelevantProvenanceResources`,
    );
    return [];
  });
  return modes.includes('relevant') ? 'relevant' : (modes[0] ?? 'in-scope');
}

function readOrganizeBy(
  given: GivenParameter,
  { target, read: { types = [], provenance } }: ParameterContext,
): string | undefined {
  const type = given.once();
  if (type === undefined) return undefined;
  const outside = types.find((one) => !isCompartmentType(one));
  const problem =
    type !== 'Patient'
      ? 'is not supported, only Patient is'
      : target.level === 'system'
        ? 'leaves out what belongs to no patient; ask Patient/$export or Group/[id]/$export'
        : outside !== undefined
          ? `has no place for ${outside}, which _type names`
          : provenance !== 'in-scope'
            ? 'does not go together with includeAssociatedData'
            : undefined;
  if (problem === undefined) return type;
  given.ignore(`organizeOutputBy: ${quoted(type)} ${problem}`);
  return undefined;
}

function readFlag(given: GivenParameter): boolean {
  const text = given.once();
  if (text === undefined || text === 'false') return false;
  if (text === 'true') return true;
  given.ignore(`${given.name}: ${quoted(text)} is neither true nor false`);
  return false;
}

function readContainer(given: GivenParameter, { containers }: ParameterContext): string | undefined {
  const name = given.once();
  if (name === undefined || containers.includes(name)) return name;
  throw bad(given.name, `_container: ${quoted(name)} is none that this server is configured to write to`);
}

function readEtag(given: GivenParameter): string | undefined {
  const etag = given.once();
  if (etag === undefined) return undefined;
  const [, hash] = /^"?([0-9a-f]{64})"?$/i.exec(etag) ?? [];
  if (hash === undefined) throw bad(given.name, `${given.name}: ${quoted(etag)} is not a sha256 in hex`);
  return hash.toLowerCase();
}
