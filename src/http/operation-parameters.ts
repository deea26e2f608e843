import type { ExportLevel } from '../events/request.ts';
import { FORMATS } from './export-parameters.ts';

/** A parameter of `$export` as OperationDefinitions and the OpenAPI document tell it. What it does is in `export-parameters.ts`. */
export interface OperationParameter {
  readonly name: string;
  /** FHIR data type in a Parameters resource; in a query the same as text. */
  readonly type: 'string' | 'instant' | 'boolean' | 'Reference';
  /** `*` = repeated, or a list with commas. */
  readonly max: '1' | '*';
  readonly levels: readonly ExportLevel[];
  readonly documentation: string;
  /** As the value in a query. The examples of all parameters together are a request. */
  readonly example?: string;
}

const EVERY: readonly ExportLevel[] = ['system', 'patient', 'group'];
const OF_PATIENTS: readonly ExportLevel[] = ['patient', 'group'];

/** All are optional. */
export const OPERATION_PARAMETERS: readonly OperationParameter[] = [
  {
    name: '_outputFormat',
    type: 'string',
    max: '1',
    levels: EVERY,
    documentation: `Form of the files: ${[...FORMATS.keys()].join(', ')}; letter case does not count. The last one means files that are compressed as they are stored, \`.ndjson.gz\`; all others are the same, and the default.`,
    example: 'application/fhir+ndjson',
  },
  {
    name: '_since',
    type: 'instant',
    max: '1',
    levels: EVERY,
    documentation:
      'Only what was committed after this instant, whatever meta.lastUpdated says; `deleted` names what was deleted since, and what left the export: resources that moved to other patients, and those of patients who left the group. Of patients who joined the group everything comes, however old. With the transactionTime of an earlier export both divide all changes without gap or overlap. Not in the future.',
    example: '2026-01-31T12:00:00.000Z',
  },
  {
    name: '_until',
    type: 'instant',
    max: '1',
    levels: EVERY,
    documentation:
      'Leaves out every resource whose newest version was committed after this instant; older versions do not take its place. Later than _since.',
    example: '2026-02-28T12:00:00.000Z',
  },
  {
    name: '_type',
    type: 'string',
    max: '*',
    levels: EVERY,
    documentation:
      'Resource types to return. Without it every type there is: of a system export all (Binary only if the server is set up so, which its CapabilityStatement says), of patients and groups those of the Patient compartment. What is in no compartment (Practitioner, Organization, Location, Medication and the like) comes with patients and groups when it is named here together with types that refer to it, and then only what they refer to.',
    example: 'Patient,Condition',
  },
  {
    name: '_typeFilter',
    type: 'string',
    max: '*',
    levels: EVERY,
    documentation:
      'A search on resources of one type, as `Type?parameter=value&…`; a resource of the type is returned when one of the searches of its type matches. Other types are not affected. Search parameters are those of the CapabilityStatement. Chains, _has, _sort, _include, :in, :above and whatever else needs more than the one resource are refused by name.',
    example: 'Condition?clinical-status=active',
  },
  {
    name: '_elements',
    type: 'string',
    max: '*',
    levels: EVERY,
    documentation:
      'Root elements to return, as `element` for every type that has it or `Type.element`. Of a choice of types value, value[x] and valueQuantity mean the same. resourceType, id, meta, mandatory elements and modifiers are kept, and contained resources that kept elements refer to; what was reduced has the tag SUBSETTED.',
    example: 'Patient.birthDate,id',
  },
  {
    name: 'patient',
    type: 'Reference',
    max: '*',
    levels: OF_PATIENTS,
    documentation:
      'Only the compartments of these patients, 100000 at most: references like Patient/123, in a query also ids with commas. The export fails when one of them is not there, or not in the group. Not where the URL names a patient.',
    example: 'Patient/123',
  },
  {
    name: 'includeAssociatedData',
    type: 'string',
    max: '*',
    levels: EVERY,
    documentation:
      'LatestProvenanceResources or RelevantProvenanceResources: the last, or every Provenance of each returned resource; of both the second. Without it, and without a _type that leaves Provenance out, every Provenance of anything in scope is returned.',
  },
  {
    name: 'organizeOutputBy',
    type: 'string',
    max: '1',
    levels: OF_PATIENTS,
    documentation:
      'Patient: the lines of each file are grouped by patient, each group begun by a Parameters resource that names the patient. Only for types of the Patient compartment, and not with includeAssociatedData.',
    example: 'Patient',
  },
  {
    name: 'allowPartialManifests',
    type: 'boolean',
    max: '1',
    levels: EVERY,
    documentation:
      'true: the manifest may come in pages joined by `link`, and the first ones while the export is running.',
    example: 'true',
  },
  {
    name: '_container',
    type: 'string',
    max: '1',
    levels: EVERY,
    documentation: 'Folder to write into, one of those that HEADWATER_CONTAINERS allows.',
  },
];

export function parametersOf(level: ExportLevel): readonly OperationParameter[] {
  return OPERATION_PARAMETERS.filter(({ levels }) => levels.includes(level));
}
