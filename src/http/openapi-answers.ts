import { schema } from './openapi-schemas.ts';
import type { JsonSchema } from './openapi-schemas.ts';

/** A Response Object of OpenAPI. */
export type Answer = Readonly<Record<string, unknown>>;
/** A Header Object by name. */
export type Headers = Readonly<Record<string, object>>;

const FHIR_JSON = 'application/fhir+json';

function header(description: string, of: JsonSchema, required = true): object {
  return { description, required, schema: of };
}

const SECONDS: JsonSchema = { type: 'integer', minimum: 1, maximum: 300 };
const URL: JsonSchema = { type: 'string', format: 'uri' };
const HTTP_DATE: JsonSchema = {
  type: 'string',
  pattern: '^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \\d\\d [A-Z][a-z]{2} \\d{4} \\d\\d:\\d\\d:\\d\\d GMT$',
};

const RETRY_AFTER = header('Seconds to wait before asking again.', SECONDS);
const EXPIRES = header('Until when the URLs in the manifest are good.', HTTP_DATE);
const EXPORT_STATUS = header(
  'With separate-export-status: the status of the export, as 202 Accepted or 200 OK; that of the answer is 200.',
  { type: 'string', pattern: '^\\d{3} .+$' },
  false,
);

export function json(description: string, of: JsonSchema, headers: Headers = {}): Answer {
  return { description, headers, content: { 'application/json': { schema: of } } };
}

export function fhir(description: string, of: JsonSchema, headers: Headers = {}): Answer {
  return { description, headers, content: { [FHIR_JSON]: { schema: of } } };
}

export function outcome(description: string, headers: Headers = {}): Answer {
  return fhir(description, schema('OperationOutcome'), headers);
}

/** Answers that every operation can give. `4XX` and `5XX` come from the HTTP server itself. */
export const ANSWERS = {
  Refused: outcome('Something in the request is wrong or not supported; diagnostics names it.'),
  NotFound: outcome('There is no such thing here, or no longer.'),
  TooMany: outcome('Too many exports are unfinished, of this client or in all.', {
    'Retry-After': RETRY_AFTER,
  }),
  Unavailable: outcome('A server that this one needs is not there for the moment.', {
    'Retry-After': RETRY_AFTER,
  }),
  Failed: outcome('An error that is not to be explained to a client; the log has it.'),
  OtherRefusal: outcome('As 405 for a method, 413 for a body of more than HEADWATER_MAX_BODY.'),
} as const satisfies Readonly<Record<string, Answer>>;

export function answer(name: keyof typeof ANSWERS): Answer {
  return { $ref: `#/components/responses/${name}` };
}

/** Further answers of every FHIR operation. */
export const ALWAYS = {
  '503': answer('Unavailable'),
  '500': answer('Failed'),
  '4XX': answer('OtherRefusal'),
};

export const ACCEPTED = outcome('The export was accepted.', {
  'Content-Location': header('Where to ask for its status.', URL),
  'Preference-Applied': header(
    'respond-async, separate-export-status, if both were asked for.',
    { const: 'respond-async, separate-export-status' },
    false,
  ),
});

const PROGRESS = {
  'X-Progress': header('A percentage and what goes on.', {
    type: 'string',
    pattern: '^\\d{1,2}% ',
    maxLength: 100,
  }),
  'Retry-After': RETRY_AFTER,
};

export const RUNNING: Answer = {
  description:
    'The export is waiting or running. With allowPartialManifests the first pages of the manifest may be there.',
  headers: {
    ...PROGRESS,
    Expires: header('With a manifest: until when its URLs are good.', HTTP_DATE, false),
  },
  content: { 'application/json': { schema: schema('Manifest') } },
};

export const COMPLETE: Answer = {
  description:
    'The export is complete: the manifest, with fresh URLs each time. With separate-export-status any state has 200, and the body is that of the state: none, a manifest, or an OperationOutcome.',
  headers: {
    'X-Export-Status': EXPORT_STATUS,
    Expires: { ...EXPIRES, required: false },
    ...Object.fromEntries(Object.entries(PROGRESS).map(([name, of]) => [name, { ...of, required: false }])),
  },
  content: {
    'application/json': { schema: schema('Manifest') },
    [FHIR_JSON]: { schema: schema('OperationOutcome') },
  },
};

const CONTENT_RANGE = header('Which bytes of how many.', {
  type: 'string',
  pattern: '^bytes (\\d+-\\d+|\\*)/\\d+$',
});

const FILE_HEADERS: Headers = {
  ETag: header('Of this form of the file, for If-None-Match and If-Range.', {
    type: 'string',
    pattern: '^"',
  }),
  'Last-Modified': header('When it was written.', HTTP_DATE),
  'Content-Disposition': header('Its name.', { type: 'string', pattern: '^attachment; filename="' }),
  'Accept-Ranges': header('Ranges of bytes of the file as it is stored can be had.', { const: 'bytes' }),
  'Content-Encoding': header(
    'When it is compressed on the way, by Accept-Encoding.',
    { const: 'gzip' },
    false,
  ),
  'Content-Length': header('Unless it is compressed on the way.', { type: 'integer', minimum: 0 }, false),
};

/** The files are no JSON as a whole: their media types have no schema. */
const NDJSON = { 'application/fhir+ndjson': {}, 'application/fhir+ndjson+gzip': {} };

export const WHOLE_FILE: Answer = { description: 'The file.', headers: FILE_HEADERS, content: NDJSON };

export const PART_OF_FILE: Answer = {
  description: 'The range of bytes that was asked for.',
  headers: { ...FILE_HEADERS, 'Content-Range': CONTENT_RANGE },
  content: NDJSON,
};

export const SAME_FILE: Answer = {
  description: 'The client has this file, by If-None-Match or If-Modified-Since.',
};

export const OUT_OF_RANGE = outcome('The file is shorter.', { 'Content-Range': CONTENT_RANGE });
