import packageJson from '../../package.json' with { type: 'json' };
import type { ExportLevel } from '../events/request.ts';
import {
  ACCEPTED,
  ALWAYS,
  answer,
  ANSWERS,
  COMPLETE,
  fhir,
  json,
  OUT_OF_RANGE,
  outcome,
  PART_OF_FILE,
  RUNNING,
  SAME_FILE,
  WHOLE_FILE,
} from './openapi-answers.ts';
import { ACCESS_PATHS, SECURITY_SCHEMES } from './openapi-access.ts';
import { GROUP_PATHS } from './openapi-groups.ts';
import { FORMAT_VALUES } from './discovery-formats.ts';
import { OPERATIONS } from './operation-definitions.ts';
import { EXPORT_PARAMETERS, exportParametersOf } from '../events/export-parameter-table.ts';
import type { ExportParameter } from '../events/export-parameter-table.ts';
import { schema, SCHEMAS } from './openapi-schemas.ts';

/** The settings that the document depends on. */
export interface OpenApiOptions {
  readonly publicUrl: string;
  readonly requirePrefer: boolean;
  /** Whether clients need access tokens. */
  readonly secured?: boolean;
}

/** The HTTP interface as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0). Tests hold it against the running gateway. */
export function openApi({ publicUrl, requirePrefer, secured = false }: OpenApiOptions): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Headwater',
      version: packageJson.version,
      summary: 'FHIR R4 Bulk Data export',
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: publicUrl }],
    security: secured ? [{ token: [] }] : [],
    tags: [
      { name: 'export', description: 'Bulk Data Access 3.0.0 (and 2.0.0)' },
      { name: 'discovery', description: 'What this server does' },
      { name: 'operation', description: 'For those who run it' },
    ],
    paths: {
      ...kickOffs(),
      '/fhir/$export-status/{jobId}': exportStatus,
      '/fhir/$export-file/{folder}/{name}': exportFile(['folder', 'name'], 'File'),
      '/fhir/$export-file/{container}/{folder}/{name}': exportFile(
        ['container', 'folder', 'name'],
        'FileInContainer',
      ),
      '/fhir/$export-file/{container}/{folder}/{part}/{name}': exportFile(
        ['container', 'folder', 'part', 'name'],
        'FileInPart',
      ),
      '/fhir/$export-file/{container}/{folder}/{kind}/{part}/{name}': exportFile(
        ['container', 'folder', 'kind', 'part', 'name'],
        'FileInKind',
      ),
      ...GROUP_PATHS,
      ...(secured && ACCESS_PATHS),
      ...discovery,
      ...probes,
    },
    components: {
      schemas: SCHEMAS,
      ...(secured && { securitySchemes: SECURITY_SCHEMES }),
      responses: ANSWERS,
      parameters: {
        ...Object.fromEntries(EXPORT_PARAMETERS.map((parameter) => [parameter.name, inQuery(parameter)])),
        Prefer: prefer(requirePrefer),
      },
    },
  };
}

const DESCRIPTION = `An export is asked for (kick-off), its status is asked for until it is complete, and the files that its
manifest names are downloaded. Every refusal and failure is an OperationOutcome.

GET can be HEAD as well, but for kick-offs. Browsers may call from the origins that HEADWATER_CORS_ORIGINS names. A \`$\` may be
written \`%24\`.`;

function kickOffs(): Record<string, object> {
  return {
    '/fhir/$export': kickOff('system', 'System', 'Export everything'),
    '/fhir/Patient/$export': kickOff('patient', 'Patients', 'Export all patients, or those named'),
    '/fhir/Patient/{id}/$export': kickOff('patient', 'OnePatient', 'Export one patient', ['patient']),
    '/fhir/Group/{id}/$export': kickOff('group', 'Group', 'Export the members of a group'),
  };
}

function kickOff(level: ExportLevel, name: string, summary: string, without: readonly string[] = []): object {
  const id = name === 'OnePatient' || level === 'group' ? [inPath('id', 'Id of the resource.')] : [];
  const asked = exportParametersOf(level)
    .filter((parameter) => !without.includes(parameter.name))
    .map((parameter) => ({ $ref: `#/components/parameters/${parameter.name}` }));
  const common = {
    tags: ['export'],
    summary,
    description: KICK_OFF,
    parameters: [...id, ...asked, { $ref: '#/components/parameters/Prefer' }],
    responses: {
      '202': ACCEPTED,
      '400': answer('Refused'),
      ...(level !== 'system' && { '404': answer('NotFound') }),
      '429': answer('TooMany'),
      ...ALWAYS,
    },
  };
  const body = { schema: schema('Parameters') };
  return {
    get: { operationId: `export${name}`, ...common },
    post: {
      operationId: `export${name}ByPost`,
      ...common,
      requestBody: { required: false, content: { 'application/fhir+json': body, 'application/json': body } },
    },
  };
}

const KICK_OFF = `Accept has to include application/fhir+json or something that is not only application/json, XML or HTML. A parameter
that is not understood is refused; with \`handling=lenient\` in Prefer a warning in the manifest's error files names it.`;

const exportStatus = {
  parameters: [inPath('jobId', 'As in Content-Location of the kick-off.')],
  get: {
    tags: ['export'],
    operationId: 'exportStatus',
    summary: 'How far an export is, and its manifest',
    parameters: [
      {
        name: 'page',
        in: 'query',
        description: 'Of a manifest that has pages; `link` has the URL of the next.',
        schema: { type: 'integer', minimum: 1 },
      },
    ],
    responses: {
      '200': COMPLETE,
      '202': RUNNING,
      '400': outcome('The export failed because of what was asked for, or page is no number.'),
      '404': outcome(
        'There is no such export of this client: it never was, was cancelled or has expired. Or it failed because its group or patient is not there.',
      ),
      ...ALWAYS,
      '500': outcome('The export failed; diagnostics says why, or that the log does.'),
    },
  },
  delete: {
    tags: ['export'],
    operationId: 'cancelExport',
    summary: 'Cancel an export, or let its files be removed',
    responses: {
      '202': outcome('From now on its status is 404.'),
      '404': answer('NotFound'),
      ...ALWAYS,
    },
  },
};

function exportFile(parts: readonly string[], name: string): object {
  const responses = {
    '200': WHOLE_FILE,
    '304': SAME_FILE,
    '404': outcome('No such file, a URL that was changed, or one that has expired.'),
    ...ALWAYS,
  };
  return {
    parameters: [
      ...parts.map((part) => inPath(part, 'As in the manifest.')),
      {
        name: 'expires',
        in: 'query',
        required: true,
        description: 'As in the manifest.',
        schema: { type: 'integer' },
      },
      {
        name: 'signature',
        in: 'query',
        required: true,
        description: 'As in the manifest.',
        schema: { type: 'string' },
      },
    ],
    get: {
      tags: ['export'],
      operationId: `export${name}`,
      summary: 'A file, whole or a range of bytes',
      parameters: [
        {
          name: 'Range',
          in: 'header',
          description: 'One range of bytes.',
          schema: { type: 'string' },
          example: 'bytes=0-1023',
        },
        {
          name: 'Accept-Encoding',
          in: 'header',
          description: 'gzip: a whole file that is stored as it is gets compressed on the way.',
          schema: { type: 'string' },
        },
      ],
      responses: { ...responses, '206': PART_OF_FILE, '416': OUT_OF_RANGE },
    },
    head: { tags: ['export'], operationId: `export${name}Head`, summary: 'Only the headers', responses },
  };
}

const OF_FHIR = {
  '406': outcome('Neither JSON nor anything is accepted.'),
  ...ALWAYS,
};
const FORMAT = {
  name: '_format',
  in: 'query',
  description: 'In place of Accept: json, or one of its media types.',
  schema: { enum: FORMAT_VALUES },
};

const discovery = {
  '/': {
    get: {
      tags: ['discovery'],
      operationId: 'pointers',
      summary: 'Where what is, for people and programs',
      responses: {
        '200': {
          description: 'URLs by name.',
          content: {
            'application/json': { schema: { type: 'object', required: ['name', 'fhir'] } },
            'text/html': { schema: { type: 'string' } },
          },
        },
      },
    },
  },
  '/fhir/metadata': {
    get: {
      tags: ['discovery'],
      operationId: 'metadata',
      summary: 'CapabilityStatement',
      parameters: [FORMAT],
      responses: {
        '200': fhir('Operations, types, search parameters.', schema('CapabilityStatement')),
        ...OF_FHIR,
      },
    },
  },
  '/fhir/OperationDefinition/{id}': {
    get: {
      tags: ['discovery'],
      operationId: 'operationDefinition',
      summary: 'What $export takes here, at one level',
      parameters: [{ ...inPath('id', 'One of three.'), schema: { enum: [...OPERATIONS.keys()] } }, FORMAT],
      responses: {
        '200': fhir('The definition.', schema('OperationDefinition')),
        '404': answer('NotFound'),
        ...OF_FHIR,
      },
    },
  },
  '/openapi.json': document('openApi', 'This document'),
  '/asyncapi.json': document('asyncApi', 'The topic of export events, as AsyncAPI 3.0'),
};

function document(operationId: string, summary: string): object {
  const ok = json('The document.', { type: 'object', required: ['info'] });
  return { get: { tags: ['discovery'], operationId, summary, responses: { '200': ok } } };
}

const probes = {
  '/healthz': {
    get: {
      tags: ['operation'],
      operationId: 'healthz',
      summary: 'The process answers',
      responses: { '200': json('It does.', schema('Alive')) },
    },
  },
  '/readyz': {
    get: {
      tags: ['operation'],
      operationId: 'readyz',
      summary: 'Every service of the process works',
      responses: {
        '200': json('They do.', schema('Readiness')),
        '503': json('Some wait, and for what.', schema('Readiness')),
      },
    },
  },
  '/admin/storage/health': {
    get: {
      tags: ['operation'],
      operationId: 'storageHealth',
      summary:
        'Write, sign, download, compare and delete a small object; only for requests of the same machine',
      responses: {
        '200': json('The store works.', schema('StorageReport')),
        '404': outcome('The request comes from another machine.'),
        '503': json('A step failed, and why.', schema('StorageReport')),
      },
    },
  },
  '/metrics': {
    get: {
      tags: ['operation'],
      operationId: 'metrics',
      summary: 'For Prometheus',
      responses: {
        '200': { description: 'Metrics as text.', content: { 'text/plain': { schema: { type: 'string' } } } },
      },
    },
  },
};

function inPath(name: string, description: string) {
  return { name, in: 'path', required: true, description, schema: { type: 'string' } };
}

function inQuery({ name, type, max, documentation, example }: ExportParameter): object {
  const format = type === 'instant' ? { format: 'date-time' } : {};
  const value = type === 'boolean' ? { type: 'boolean' } : { type: 'string', ...format };
  return {
    name,
    in: 'query',
    description: documentation,
    schema: max === '*' ? { type: 'array', items: value } : value,
    ...(example !== undefined && {
      example: max === '*' ? [example] : type === 'boolean' ? example === 'true' : example,
    }),
  };
}

function prefer(required: boolean): object {
  return {
    name: 'Prefer',
    in: 'header',
    required,
    description: 'respond-async; besides handling=lenient, separate-export-status.',
    schema: { type: 'string' },
    example: 'respond-async',
  };
}
