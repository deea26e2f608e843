import { ISSUE_CODES, ISSUE_SEVERITIES } from '../fhir/operation-outcome.ts';
import { RESOURCE_TYPES } from '../fhir/resource-types.ts';
import { EXPORT_PARAMETERS } from '../events/export-parameter-table.ts';

/** JSON Schema of draft 2020-12, as OpenAPI 3.1 has it. */
export type JsonSchema = Readonly<Record<string, unknown>>;

const INSTANT: JsonSchema = { type: 'string', format: 'date-time' };
const COUNT: JsonSchema = { type: 'integer', minimum: 0 };

/** An object that has these properties, all but the optional ones, and no others. */
function record(
  properties: Readonly<Record<string, JsonSchema>>,
  optional: readonly string[] = [],
): JsonSchema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: 'object', properties, required, additionalProperties: false };
}

function list(items: JsonSchema): JsonSchema {
  return { type: 'array', items };
}

export function schema(name: keyof typeof SCHEMAS): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

const OPERATION_OUTCOME = record({
  resourceType: { const: 'OperationOutcome' },
  issue: {
    ...list(
      record({
        severity: { enum: ISSUE_SEVERITIES },
        code: {
          description: "One of FHIR's issue types.",
          enum: ISSUE_CODES,
        },
        diagnostics: { type: 'string', description: 'For people: names what to change.', minLength: 1 },
      }),
    ),
    minItems: 1,
  },
});

const VALUES = ['valueString', 'valueInstant', 'valueBoolean', 'valueReference'];

/** The resource of FHIR. `EXPORT_PARAMETERS` has its possible parameters. */
const PARAMETERS: JsonSchema = {
  type: 'object',
  description:
    'A Parameters resource. A parameter that may be repeated is repeated, or has a list with commas.',
  properties: {
    resourceType: { const: 'Parameters' },
    parameter: list({
      type: 'object',
      properties: {
        name: { enum: EXPORT_PARAMETERS.map(({ name }) => name) },
        valueString: { type: 'string' },
        valueInstant: INSTANT,
        valueBoolean: { type: 'boolean' },
        valueReference: {
          type: 'object',
          properties: { reference: { type: 'string', examples: ['Patient/123'] } },
          required: ['reference'],
        },
      },
      required: ['name'],
      oneOf: VALUES.map((name) => ({ required: [name] })),
      propertyNames: { anyOf: [{ enum: VALUES }, { not: { pattern: '^value' } }] },
    }),
  },
  required: ['resourceType'],
};

const FILE = record(
  {
    type: {
      description: 'Resource type of every line. Not in output that is organized by patient.',
      enum: RESOURCE_TYPES,
    },
    url: {
      type: 'string',
      format: 'uri',
      description:
        'Valid for a limited time, for every holder, without a token; a manifest that is asked for again has a new one.',
    },
    count: { ...COUNT, description: 'Resources, hence lines; headers of patients are not counted.' },
    extension: record({
      bytes: { ...COUNT, description: 'Size of the file as it is stored.' },
      sha256: { type: 'string', pattern: '^[0-9a-f]{64}$', description: 'Of the file as it is stored.' },
    }),
  },
  ['type'],
);

const MANIFEST = record(
  {
    transactionTime: {
      ...INSTANT,
      description:
        'Everything committed until then is in, nothing later. As _since of the next export nothing is lost or repeated.',
    },
    request: { type: 'string', format: 'uri', description: 'URL of the kick-off.' },
    requiresAccessToken: { const: false },
    outputOrganizedBy: { const: 'Patient' },
    output: list({ $ref: '#/components/schemas/ManifestFile' }),
    deleted: {
      ...list({ $ref: '#/components/schemas/ManifestFile' }),
      description:
        'With _since: lines are transaction Bundles with a DELETE each, of what was deleted or left what the export is of.',
    },
    error: {
      ...list({ $ref: '#/components/schemas/ManifestFile' }),
      description:
        'Lines are OperationOutcomes: what could not be exported (error), what was ignored (warning).',
    },
    link: {
      ...list(record({ relation: { const: 'next' }, url: { type: 'string', format: 'uri' } })),
      description: 'Only with allowPartialManifests.',
      maxItems: 1,
    },
    extension: record(
      {
        typeFilters: {
          ...list({ type: 'string' }),
          description: 'The searches that _typeFilter was understood as.',
        },
        epoch: {
          type: 'string',
          description: 'Of the log; _since completes only an export of the same epoch.',
        },
        access: {
          ...record({ deidentified: { type: 'string' } }),
          description: 'Name of the configuration that de-identified the resources.',
        },
      },
      ['typeFilters', 'epoch', 'access'],
    ),
  },
  ['outputOrganizedBy', 'deleted', 'link', 'extension'],
);

export const SCHEMAS = {
  OperationOutcome: OPERATION_OUTCOME,
  Parameters: PARAMETERS,
  Manifest: MANIFEST,
  ManifestFile: FILE,
  CapabilityStatement: {
    type: 'object',
    description: "FHIR R4's resource.",
    properties: { resourceType: { const: 'CapabilityStatement' }, fhirVersion: { const: '4.0.1' } },
    required: ['resourceType', 'status', 'date', 'kind', 'fhirVersion', 'format', 'rest'],
  },
  OperationDefinition: {
    type: 'object',
    description: "FHIR R4's resource.",
    properties: { resourceType: { const: 'OperationDefinition' } },
    required: ['resourceType', 'name', 'status', 'kind', 'code', 'system', 'type', 'instance', 'parameter'],
  },
  Alive: record({ status: { const: 'ok' } }),
  Readiness: record({
    status: { enum: ['ready', 'waiting'] },
    services: list(
      record(
        {
          name: { type: 'string' },
          state: { enum: ['starting', 'running', 'waiting'] },
          reason: { type: 'string', description: 'Why it waits.' },
          failures: { ...COUNT, description: 'How often it failed and was started again.' },
        },
        ['reason'],
      ),
    ),
  }),
  StorageReport: record(
    {
      status: { enum: ['ok', 'failed'] },
      type: { enum: ['fs', 's3', 'gcs', 'azure'] },
      bucket: { type: 'string', description: 'Bucket, container or directory.' },
      account: { type: 'string', description: 'Account of Azure.' },
      identity: {
        enum: ['none', 'stored credentials', 'workload'],
        description: 'Where the credentials come from.',
      },
      step: {
        enum: ['open', 'write', 'sign', 'download', 'compare', 'delete'],
        description: 'The step that failed.',
      },
      reason: { type: 'string', description: 'Why it failed, and what to change.' },
    },
    ['account', 'step', 'reason'],
  ),
} as const satisfies Readonly<Record<string, JsonSchema>>;
