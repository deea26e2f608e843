import packageJson from '../../package.json' with { type: 'json' };
import type { ExportLevel } from '../events/request.ts';
import { formatInstant } from '../fhir/instant.ts';
import { exportParametersOf } from '../events/export-parameter-table.ts';
import type { ExportParameter } from '../events/export-parameter-table.ts';

interface Operation {
  readonly level: ExportLevel;
  readonly name: string;
  readonly title: string;
  readonly resource: 'Patient' | 'Group' | undefined;
  readonly description: string;
}

/** The operations by id, which is also the last part of the guide's canonical URL. */
export const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  [
    'export',
    {
      level: 'system',
      name: 'SystemLevelExport',
      title: 'Export of everything',
      resource: undefined,
      description: 'Every resource, in no compartment or in any.',
    },
  ],
  [
    'patient-export',
    {
      level: 'patient',
      name: 'PatientLevelExport',
      title: 'Export of patients',
      resource: 'Patient',
      description:
        'The Patient compartments of R4, of every patient, of those that the parameter patient names, or of the one in the URL.',
    },
  ],
  [
    'group-export',
    {
      level: 'group',
      name: 'GroupLevelExport',
      title: 'Export of a group',
      resource: 'Group',
      description:
        'The Patient compartments of R4 of the members of a Group as of the export, members of groups inside it included; inactive members and those whose period is over or has not begun are left out. Of a group that is inactive or empty nothing is exported, and a warning in `error` says so.',
    },
  ],
]);

export function canonicalOf(id: string): string {
  return `http://hl7.org/fhir/uv/bulkdata/OperationDefinition/${id}`;
}

/** The operation as this server does it. The guide's own definition (`base`) says what a server may do. */
export function operationDefinition(
  id: string,
  operation: Operation,
  { baseUrl, startedAt }: { readonly baseUrl: string; readonly startedAt: number },
): object {
  const { level, name, title, resource, description } = operation;
  return {
    resourceType: 'OperationDefinition',
    id,
    url: `${baseUrl}/OperationDefinition/${id}`,
    version: packageJson.version,
    name,
    title,
    status: 'active',
    kind: 'operation',
    date: formatInstant(startedAt),
    publisher: 'Headwater',
    description,
    affectsState: false,
    code: 'export',
    comment: COMMENT,
    base: canonicalOf(id),
    ...(resource && { resource: [resource] }),
    system: level === 'system',
    type: level === 'patient',
    instance: level !== 'system',
    parameter: [...exportParametersOf(level).map(parameterIn), RETURN],
  };
}

const COMMENT = [
  'Asked for by GET, or by POST with a Parameters resource or without a body; parameters of the URL and of the body count alike.',
  'It needs `Prefer: respond-async`. With `handling=lenient` what is not supported is ignored and named by a warning in `error`; otherwise it is a 400. What says whose data, since when or in which form is never ignored.',
  'With `separate-export-status` polling answers 200, and X-Export-Status has the status of the export.',
].join('\n\n');

function parameterIn({ name, type, max, documentation }: ExportParameter): object {
  return {
    name,
    use: 'in',
    min: 0,
    max,
    documentation,
    type,
    ...(type === 'Reference' && { targetProfile: ['http://hl7.org/fhir/StructureDefinition/Patient'] }),
  };
}

const RETURN = {
  name: 'return',
  use: 'out',
  min: 1,
  max: '1',
  documentation:
    'Says that the export was accepted (202) or why it was not. Content-Location is where to ask for its status; the manifest that comes of it is no FHIR resource.',
  type: 'OperationOutcome',
};
