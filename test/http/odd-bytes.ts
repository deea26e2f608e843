import fc from 'fast-check';

const junk = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
const line = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom('GET /fhir/$export HTTP/1.1', 'POST /fhir/Patient/$export HTTP/1.1'),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      'GET /fhir/$export HTTP/1.0',
      'GET /fhir/$export HTTP/3.7',
      'GET /fhir/$export',
      'get /fhir/$export HTTP/1.1',
      'GET  /fhir/$export HTTP/1.1',
      'GET /fhir/\0$export HTTP/1.1',
      `GET /fhir/$export?_type=${'Patient,'.repeat(9_000)} HTTP/1.1`,
      'GET http://[::1]:1/fhir/$export HTTP/1.1',
      'CONNECT other.example:443 HTTP/1.1',
      'PRI * HTTP/2.0',
      '\x16\x03\x01\x02',
    ),
  },
  { weight: 1, arbitrary: junk },
);
const headerLine = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      'Host: h',
      'Prefer: respond-async',
      'Content-Type: application/json',
      'Content-Length: 0',
      'Content-Length: 31',
      'Transfer-Encoding: chunked',
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      'Content-Length: -1',
      'Content-Length: 1, 2',
      'Content-Length: 99999999999999999999',
      'Transfer-Encoding: chunked, klingon',
      'Prefer : respond-async',
      ' folded',
      'Prefer: respond-async\0',
      ': empty',
      'Expect: 100-continue',
      'Connection: close',
      'Connection: upgrade\r\nUpgrade: websocket',
      `X: ${'x'.repeat(70_000)}`,
    ),
  },
  { weight: 1, arbitrary: junk },
);
const tail = fc.oneof(
  fc.constantFrom(
    '',
    '{"resourceType":"Parameters"}\r\n',
    '1f\r\n{"resourceType":"Parameters"}\r\n\r\n0\r\n\r\n',
    'ffffffffffffffffff\r\n',
    '5;x=y\r\nabc',
    'GET /fhir/$export HTTP/1.1\r\nHost: h\r\nPrefer: respond-async\r\n\r\n',
  ),
  junk,
);

/** What a connection may carry besides HTTP, or nearly HTTP, up to its end; a character is a byte. */
export const oddBytes = fc
  .tuple(line, fc.array(headerLine, { maxLength: 5 }), fc.constantFrom('\r\n', '\r\n', '\n'), tail)
  .map(([first, lines, end, rest]) =>
    [first, 'Host: h', 'Prefer: respond-async', ...lines, '', rest].join(end),
  );
