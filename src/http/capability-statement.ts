import packageJson from '../../package.json' with { type: 'json' };
import { formatInstant } from '../fhir/instant.ts';
import { isCompartmentType } from '../fhir/patient-compartment.ts';
import { RESOURCE_TYPES } from '../fhir/resource-types.ts';
import { searchParametersOf } from '../fhir/search/search-parameters.ts';
import { canonicalOf } from './operation-definitions.ts';

/**
 * The CapabilityStatement at `[base]/metadata`. It names every exportable type, since some clients skip the others, with the search parameters
 * that `_typeFilter` takes. Only Groups can be read, by those who want to know which they may export.
 */
export function capabilityStatement(
  baseUrl: string,
  startedAt: number,
  { exportBinary, tokenUrl }: { readonly exportBinary: boolean; readonly tokenUrl?: string | undefined },
): object {
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: formatInstant(startedAt),
    publisher: 'Headwater',
    kind: 'instance',
    instantiates: ['http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data'],
    software: { name: 'Headwater', version: packageJson.version },
    implementation: { description: 'Headwater bulk data export', url: baseUrl },
    fhirVersion: '4.0.1',
    format: ['application/fhir+json', 'application/fhir+ndjson'],
    implementationGuide: ['http://hl7.org/fhir/uv/bulkdata/ImplementationGuide/hl7.fhir.uv.bulkdata'],
    rest: [
      {
        mode: 'server',
        documentation: [exportBinary ? WITH_BINARY : WITHOUT_BINARY, ...DOCUMENTATION].join('\n\n'),
        ...(tokenUrl !== undefined && { security: securityOf(tokenUrl) }),
        resource: RESOURCE_TYPES.map(resourceOf),
        operation: [{ name: 'export', definition: canonicalOf('export') }],
      },
    ],
  };
}

/** As SMART App Launch says it in a CapabilityStatement; .well-known/smart-configuration has the rest. */
function securityOf(tokenUrl: string): object {
  const service = {
    system: 'http://terminology.hl7.org/CodeSystem/restful-security-service',
    code: 'SMART-on-FHIR',
  };
  return {
    service: [{ coding: [service] }],
    extension: [
      {
        url: 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris',
        extension: [{ url: 'token', valueUri: tokenUrl }],
      },
    ],
  };
}

const WITH_BINARY = 'Bulk data export. A system export returns every resource there is.';
const WITHOUT_BINARY =
  'Bulk data export. A system export returns every resource there is, but Binary only if `_type` names it; under `_since` likewise, also in `deleted`.';
const DOCUMENTATION = [
  'An export of patients returns the Patient compartment of FHIR R4 (CompartmentDefinition/patient): the Patients themselves and what refers to them by any of its parameters; one of a Group the same of its members.',
  'Provenance: everything that is about a resource in scope comes along, unless `_type` leaves Provenance out or `includeAssociatedData` asks for less.',
  'Context resources, of types that are in no compartment (Practitioner, PractitionerRole, Organization, Location, Medication and all others): with patients and groups they are returned when `_type` names them together with types that refer to them, and then only those that are referred to.',
  'Group membership under `_since`: of patients who joined since then everything is returned, however old; what the export held of patients who left is in `deleted`, as is what was deleted or moved to other patients. Members are those as of the export; inactive ones and those outside of their period are none.',
  'The search parameters listed are for `_typeFilter`; only Groups can be read and listed, by `_id`. What the operations of this server take is in OperationDefinition/export, /patient-export and /group-export.',
];

function resourceOf(type: string): object {
  const operation = OPERATIONS_OF[type];
  return {
    type,
    ...(!isCompartmentType(type) && { documentation: CONTEXT }),
    ...(type === 'Group' && GROUPS),
    searchParam: searchParametersOf(type),
    ...(operation && { operation }),
  };
}

/** The only type that can be read, by those who want to know which Groups they may export. */
const GROUPS = { interaction: [{ code: 'read' }, { code: 'search-type' }] };

const CONTEXT =
  'In exports of patients and groups only if `_type` names it, and then those that a returned resource refers to.';

/** Under the name the guide's own statement has, and under the one that is in the URL: clients look for either. */
const OPERATIONS_OF: Readonly<
  Record<string, readonly { readonly name: string; readonly definition: string }[]>
> = {
  Patient: [
    { name: 'patient-export', definition: canonicalOf('patient-export') },
    { name: 'export', definition: canonicalOf('patient-export') },
  ],
  Group: [
    { name: 'group-export', definition: canonicalOf('group-export') },
    { name: 'export', definition: canonicalOf('group-export') },
  ],
};
