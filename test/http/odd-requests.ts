import fc from 'fast-check';
import { anyText, known, parameters, quotedName, unknown } from './odd-parameters.ts';

/** A request as `node:http` sends it. */
export interface OddRequest {
  readonly method: string;
  readonly path: string;
  /** Name, value, name, value, … */
  readonly headers: readonly string[];
  readonly body: Buffer | undefined;
  /** One of these stands in every refusal. */
  readonly subjects: readonly string[];
}

/** The ways in which clients and the careless write a query. */
const ENCODINGS: readonly ((text: string) => string)[] = [
  (text) => encodeURIComponent(text.toWellFormed()),
  (text) => encodeURIComponent(encodeURIComponent(text.toWellFormed())),
  (text) => encodeURIComponent(text.toWellFormed()).replaceAll('%20', '+').toLowerCase(),
  // As it is; only what a request line cannot hold is left out. What is over one byte becomes several.
  (text) =>
    Buffer.from(text.toWellFormed())
      .toString('latin1')
      .replaceAll(/[^!-~\u0080-\u00ff]/g, ''),
  (text) => [...Buffer.from(text, 'utf16le')].map((byte) => `%${byte.toString(16)}`).join(''),
];
const encoding = fc.constantFrom(...ENCODINGS);

const query = fc
  .tuple(parameters, encoding, fc.constantFrom('&', '&', '&&', ';'))
  .map(([list, encode, separator]) => ({
    // '#' would end the URL, and node:http would not send it.
    text: list
      .map(({ name, value }) => `${encode(name)}=${encode(value)}`)
      .join(separator)
      .replaceAll('#', ''),
  }));

const id = fc.oneof(
  fc.constantFrom('1', 'a-b.C', '%zz', '%00', '%2e%2e', '..', 'a%2Fb', 'x'.repeat(65)),
  anyText,
);
const path = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom('/fhir/$export', '/fhir/%24export', '/fhir/Patient/$export') },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom('Patient', 'Group', 'Shoe'), id, fc.boolean())
      .map(
        ([type, text, raw]) =>
          `/fhir/${type}/${raw && /^[!-~]+$/.test(text) ? text.replace('#', '') : encodeURIComponent(text.toWellFormed())}/$export`,
      ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '/fhir',
      '/FHIR/$export',
      '/fhir/$export/',
      '/fhir//$export',
      '/fhir/$Export',
      '/fhir/$export-status',
      '/fhir/$export-status/x',
      '/fhir/$export-file/a/b',
      '/fhir/../$export',
      'http://[/fhir/$export',
      'http://h/fhir/$export',
      'x:y',
      '*',
    ),
  },
);

const GOOD_HEADERS = ['Prefer', 'respond-async', 'Accept', 'application/fhir+json'];
const LENIENT_HEADERS = ['Prefer', 'Respond-Async;handling=lenient', 'Accept', '*/*'];
const headerText = fc.string({
  unit: fc
    .integer({ min: 32, max: 255 })
    .filter((code) => code !== 127)
    .map((code) => String.fromCharCode(code)),
});
const oddHeader = fc
  .oneof(
    fc.constantFrom(
      ['Prefer', 'handling=lenient'],
      ['Prefer', 'return=minimal, respond-async'],
      ['Prefer', 'separate-export-status,respond-async'],
      ['Accept', 'text/html'],
      ['Accept', 'application/fhir+json;q=0'],
      ['Accept', ',,;;'],
      ['Content-Type', 'application/json; charset=utf-16'],
      ['Content-Encoding', 'gzip'],
      ['Content-Encoding', 'identity, klingon'],
      ['Host', '[::1'],
      ['Host', ''],
      ['Expect', '200-ok'],
      ['Upgrade', 'h2c'],
      ['Range', 'bytes=0-'],
      ['Transfer-Encoding', 'chunked'],
      ['X-HTTP-Method-Override', 'DELETE'],
      ['X-Long', 'x'.repeat(20_000)],
    ),
    fc.tuple(
      fc.constantFrom(
        'Prefer',
        'Accept',
        'Content-Type',
        'Authorization',
        'Cookie',
        'X-Forwarded-For',
        'Origin',
        'If-Match',
      ),
      headerText,
    ),
  )
  .map((pair) => [...pair]);
const headers = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(GOOD_HEADERS, LENIENT_HEADERS) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(GOOD_HEADERS, LENIENT_HEADERS, []), fc.array(oddHeader, { maxLength: 5 }))
      .map(([first, more]) => [...first, ...more.flat()]),
  },
);

const VALUE_KEYS = [
  'valueString',
  'valueCode',
  'valueInstant',
  'valueBoolean',
  'valueReference',
  'value',
  'part',
];
const bodyParameter = fc.oneof(
  { weight: 4, arbitrary: known.map(({ name, value }) => ({ name, valueString: value })) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(known, fc.constantFrom(...VALUE_KEYS), fc.jsonValue())
      .map(([{ name }, key, value]) => ({ name, [key]: value })),
  },
  { weight: 1, arbitrary: known.map(({ name, value }) => ({ name, valueReference: { reference: value } })) },
  { weight: 1, arbitrary: unknown.map(({ name, value }) => ({ name, valueString: value })) },
  { weight: 1, arbitrary: fc.jsonValue() },
);
const resource = fc
  .array(bodyParameter, { maxLength: 5 })
  .map((parameter) => ({ resourceType: 'Parameters', parameter }));
const utf8 = fc
  .oneof(
    { weight: 6, arbitrary: resource.map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: fc.json() },
    {
      weight: 1,
      arbitrary: fc.tuple(resource, fc.nat(60)).map(([value, at]) => JSON.stringify(value).slice(0, -at)),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(resource, anyText).map(([value, tail]) => JSON.stringify(value) + tail),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        '',
        '\ufeff{"resourceType":"Parameters"}',
        '{"resourceType":"Parameters","parameter":null}',
        '{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"\\ud800"}]}',
        '{"resourceType":"Parameters","parameter":[{"name":"_typeFilter","valueString":"Patient?name=\\udfff\\u0000"}]}',
        '{"__proto__":{"resourceType":"Parameters"},"constructor":1}',
        '['.repeat(20_000),
        `{"resourceType":"Parameters","parameter":${'[{"name":"_type","part":'.repeat(2_000)}`,
        JSON.stringify({
          resourceType: 'Parameters',
          parameter: Array(3_000).fill({ name: '_type', valueString: 'Patient' }),
        }),
      ),
    },
  )
  .map((text) => Buffer.from(text));
const body = fc.oneof(
  { weight: 8, arbitrary: utf8 },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: resource.map((value) => Buffer.from(JSON.stringify(value), 'utf16le')) },
);

const oddMethod = fc.constantFrom('HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND');

const get = fc.tuple(path, query, headers).map(([where, { text }, sent]): OddRequest => {
  const names = [...new URLSearchParams(text).keys()];
  return {
    method: 'GET',
    path: text === '' ? where : `${where}?${text}`,
    headers: sent,
    body: undefined,
    subjects: [
      ...new Set(names.map(quotedName)),
      ...subjectsOf(where, sent),
      ...(/[^!-~]/.test(text) ? ['not HTTP'] : []),
      ...(text.length > 30_000 ? ['the URL and the headers'] : []),
    ],
  };
});
const post = fc
  .tuple(
    get,
    body,
    fc.constantFrom(
      'application/fhir+json',
      'application/json',
      'application/json;charset=UTF-8',
      'text/plain',
      'application/x-www-form-urlencoded',
      '',
    ),
  )
  .map(([request, content, type]): OddRequest => ({
    ...request,
    method: 'POST',
    headers: [...request.headers, ...(type === '' ? [] : ['Content-Type', type])],
    body: content,
    subjects: [
      ...request.subjects,
      ...namesIn(content),
      'the body',
      'Content-Type',
      'Parameters.parameter',
      'each parameter',
    ],
  }));
const other = fc
  .tuple(fc.oneof(get, post), oddMethod)
  .map(([request, method]): OddRequest => ({ ...request, method, subjects: [...request.subjects, method] }));

/** Requests near to and far from a good kick-off. */
export const oddRequest = fc.oneof(
  { weight: 5, arbitrary: get },
  { weight: 5, arbitrary: post },
  { weight: 1, arbitrary: other },
);

/** What the refusal may be about, apart from parameters: only what is odd in this request. */
function subjectsOf(where: string, sent: readonly string[]): string[] {
  const plainHeaders = sent === GOOD_HEADERS || sent === LENIENT_HEADERS;
  return [
    ...(plainHeaders
      ? []
      : [
          'Prefer',
          'Accept',
          'Content-Type',
          'Content-Encoding',
          'Expect',
          'Host',
          'the body',
          'not HTTP',
          'the URL',
        ]),
    ...(/^\/fhir\/(?:Patient\/)?(?:\$|%24)export$/.test(where)
      ? []
      : [
          'not the id',
          'there is no',
          'Groups are not served',
          'is not supported',
          '_count',
          'the URL',
          'not HTTP',
          'is not possible',
        ]),
  ];
}

function namesIn(content: Buffer): string[] {
  try {
    const { parameter } = JSON.parse(content.toString()) as { parameter?: unknown };
    return (Array.isArray(parameter) ? parameter : []).flatMap((one: { name?: unknown } | null) =>
      typeof one?.name === 'string' ? [quotedName(one.name)] : [],
    );
  } catch {
    return [];
  }
}
