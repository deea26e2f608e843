import packageJson from '../../package.json' with { type: 'json' };
import { formatInstant } from '../fhir/instant.ts';
import { RESOURCE_TYPES } from '../fhir/resource-types.ts';

/** What `[base]/metadata` says. Every exportable type is named: some clients skip the others. */
export function capabilityStatement(baseUrl: string, startedAt: number): object {
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: formatInstant(startedAt),
    kind: 'instance',
    instantiates: ['http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data'],
    software: { name: 'Headwater', version: packageJson.version },
    implementation: { description: 'Headwater bulk data export', url: baseUrl },
    fhirVersion: '4.0.1',
    format: ['application/fhir+json', 'application/fhir+ndjson'],
    rest: [
      {
        mode: 'server',
        resource: RESOURCE_TYPES.map((type) => ({ type })),
        operation: [
          { name: 'export', definition: 'http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export' },
        ],
      },
    ],
  };
}
