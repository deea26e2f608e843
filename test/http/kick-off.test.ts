import assert from 'node:assert/strict';
import { HeadwaterError } from '../../src/base/errors.ts';
import { EVERYTHING } from '../../src/events/request.ts';
import { assertOutcome, runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

describe('kick-off', () => {
  let gateway: RunningGateway;
  beforeEach(async () => {
    gateway = await runGateway();
  });
  afterEach(() => gateway.stop());

  const post = (body: unknown, contentType = 'application/fhir+json'): Promise<Response> =>
    gateway.ask('/fhir/$export', {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': contentType },
    });

  it('answers 202 with an absolute Content-Location and submits one job', async () => {
    const response = await gateway.ask('/fhir/$export');
    await assertOutcome(response, 202, /accepted/);
    const job = gateway.jobs.only;
    assert.equal(response.headers.get('content-location'), `${gateway.url}/fhir/$export-status/${job.jobId}`);
    assert.deepEqual(job.parameters, EVERYTHING);
    assert.equal(job.clientId, '127.0.0.1');
    assert.equal(job.requestUrl, `${gateway.url}/fhir/$export`);
  });

  it('that names what is not there is refused by itself, as its plan says, and has no status', async () => {
    const missing = { code: 'not-found', message: 'there is no Group g' };
    const stranger = { code: 'bad-request', message: 'patient: Patient/p is not a member' };
    for (const [refused, status] of [
      [missing, 404],
      [stranger, 400],
    ] as const) {
      gateway.jobs.refused = refused;
      const response = await gateway.ask('/fhir/Group/g/$export?patient=Patient/p');
      assert.equal(response.headers.get('content-location'), null);
      await assertOutcome(response, status, new RegExp(refused.message));
    }
  });

  it('that fails otherwise, or cannot be refused by its plan, is accepted', async () => {
    gateway.jobs.refused = { code: 'internal', message: 'a bug' };
    assert.equal((await gateway.ask('/fhir/Group/g/$export')).status, 202);
    gateway.jobs.refused = { code: 'not-found', message: 'never asked for' };
    assert.equal((await gateway.ask('/fhir/Patient/$export')).status, 202);
  });

  it('reads _type as csv and repeated, _since, and an unescaped + in both', async () => {
    const query =
      '_type=Patient,Observation&_type=Patient&_type=Group&_since=2024-02-29T10:00:00.123+02:00&_outputFormat=application/fhir+ndjson';
    assert.equal((await gateway.ask(`/fhir/$export?${query}`)).status, 202);
    assert.deepEqual(gateway.jobs.only.parameters, {
      ...EVERYTHING,
      types: ['Patient', 'Observation', 'Group'],
      since: '2024-02-29T10:00:00.123+02:00',
    });
    assert.equal(gateway.jobs.only.requestUrl, `${gateway.url}/fhir/$export?${query}`);
  });

  const formats = {
    ndjson: 'ndjson',
    'application/ndjson': 'ndjson',
    'application/fhir%2Bndjson': 'ndjson',
    'application/fhir+ndjson+gzip': 'ndjson+gzip',
  };
  for (const [given, meant] of Object.entries(formats)) {
    it(`takes _outputFormat=${given}`, async () => {
      assert.equal((await gateway.ask(`/fhir/$export?_outputFormat=${given}`)).status, 202);
      assert.equal(gateway.jobs.only.parameters.outputFormat, meant);
    });
  }

  for (const contentType of [
    'application/fhir+json',
    'application/json',
    'application/fhir+json; charset=UTF-8',
  ]) {
    it(`takes a Parameters resource as ${contentType}`, async () => {
      const response = await post(
        {
          resourceType: 'Parameters',
          parameter: [
            { name: '_type', valueString: 'Patient,Group' },
            { name: '_type', valueCode: 'Observation' },
            { name: '_since', valueInstant: '2024-01-01T00:00:00Z' },
          ],
        },
        contentType,
      );
      assert.equal(response.status, 202);
      const { parameters } = gateway.jobs.only;
      assert.deepEqual(parameters, {
        ...EVERYTHING,
        types: ['Patient', 'Group', 'Observation'],
        since: '2024-01-01T00:00:00Z',
      });
    });
  }

  it('takes a POST without a body', async () => {
    assert.equal((await gateway.ask('/fhir/$export?_type=Patient', { method: 'POST' })).status, 202);
    assert.deepEqual(gateway.jobs.only.parameters.types, ['Patient']);
  });

  it('takes %24export for $export', async () => {
    assert.equal((await gateway.ask('/fhir/%24export')).status, 202);
  });

  const LENIENT = { headers: { prefer: 'respond-async, handling=lenient' } };
  /** What lenient handling ignores, with a warning. */
  const ignorable: readonly (readonly [string, RegExp])[] = [
    ['_type=Patient,Patiant', /_type: "Patiant" is not a resource type of FHIR R4/],
    ['_type=Patient,', /_type: "" is not a resource type/],
    ['_typeFilter=Patient%3Fshoe-size%3D42', /_typeFilter: FHIR R4 has no search parameter "shoe-size"/],
    ['_typeFilter=Patient%3Fname%3D%ff', /_typeFilter: "Patient\?name=\uFFFD" is no text in UTF-8/],
    ['_typeFilter=Patient%3Fname%3D%00', /_typeFilter: "Patient\?name=\\u0000" is no text/],
    ['_typeFilter=', /_typeFilter: "" is no query/],
    ['_type=Group&_typeFilter=Patient%3Factive%3Dtrue', /_typeFilter: "Patient\?active=true" is of a type/],
    ['_elements=id,shoeSize', /_elements: .*"shoeSize"/],
    ['includeAssociatedData=Everything', /includeAssociatedData: "Everything" is none of/],
    ['organizeOutputBy=Encounter', /organizeOutputBy: "Encounter" is not supported/],
    ['organizeOutputBy=Patient', /organizeOutputBy: "Patient" leaves out what belongs to no patient/],
    ['allowPartialManifests=yes', /allowPartialManifests: "yes" is neither true nor false/],
    ['_sort=x', /parameter "_sort" is not supported; those that are: _outputFormat,/],
    ['_Type=Patient', /parameter "_Type" is not supported/],
    ['x=%ff%zz', /"x"/],
  ];
  for (const [query, says] of ignorable) {
    it(`refuses ?${query} by name; lenient handling ignores it with a warning`, async () => {
      await assertOutcome(await gateway.ask(`/fhir/$export?${query}`), 400, says);
      assert.equal(gateway.jobs.views.size, 0);
      assert.equal((await gateway.ask(`/fhir/$export?${query}`, LENIENT)).status, 202);
      const { warnings } = gateway.jobs.only.parameters;
      assert.match(warnings[0] ?? '', says);
      assert.match(warnings[0] ?? '', /^Ignored: /);
      assert.equal(warnings.length, 1);
    });
  }

  it('ignores each thing with its own warning and keeps the rest', async () => {
    const query =
      '_type=Patient,Shoe,Group,Hat&_elements=id,size&_typeFilter=Patient?active=true,Patient?shoe=1&x=1&y=2';
    assert.equal((await gateway.ask(`/fhir/$export?${query}`, LENIENT)).status, 202);
    const { types, elements, typeFilters, warnings } = gateway.jobs.only.parameters;
    assert.deepEqual([types, elements, typeFilters], [['Patient', 'Group'], ['id'], ['Patient?active=true']]);
    const named = ['"x"', '"y"', '"Shoe"', '"Hat"', '"shoe"', '"size"'];
    assert.deepEqual(
      warnings.map((warning) => named.find((name) => warning.includes(name))),
      named,
    );
  });

  /** Whose data, from when, in which form, to where: never ignored. Nor is a list so far that it would mean everything. */
  const refused: readonly (readonly [string, RegExp])[] = [
    ['_type=', /_type: ""/],
    ['_type=patient', /_type: "patient"/],
    ['_type=%20,Shoe', /_type: ""/],
    ['_elements=', /_elements: ""/],
    ['_elements=shoeSize,hat', /_elements: .*"shoeSize"/],
    ['_since=yesterday', /_since: "yesterday"/],
    ['_since=', /_since: ""/],
    ['_since=2024-01-01', /_since: "2024-01-01"/],
    ['_since=2024-01-01T00:00:00', /_since: "2024-01-01T00:00:00"/],
    ['_since=2023-02-29T00:00:00Z', /_since: "2023-02-29T00:00:00Z"/],
    ['_since=2024-01-01T00:00:00Z&_since=2024-01-01T00:00:00Z', /_since is given 2 times, last as "2024/],
    ['_until=now', /_until: "now"/],
    [
      '_since=2024-01-02T00:00:00Z&_until=2024-01-02T00:00:00Z',
      /_until: "2024-01-02T00:00:00Z" is not later than _since, "2024-01-02T00:00:00Z"/,
    ],
    ['_outputFormat=csv', /_outputFormat: "csv"/],
    ['_outputFormat=', /_outputFormat: ""/],
    ['patient=Patient/1', /patient: "Patient\/1" is no part of a system export; ask Patient\/\$export/],
    ['_container=elsewhere', /_container: "elsewhere"/],
    ['allowPartialManifests=true&allowPartialManifests=true', /allowPartialManifests is given 2 times/],
  ];
  for (const [query, says] of refused) {
    it(`refuses ?${query} by name, also when handling is lenient, and submits nothing`, async () => {
      await assertOutcome(await gateway.ask(`/fhir/$export?${query}`), 400, says);
      await assertOutcome(await gateway.ask(`/fhir/$export?${query}`, LENIENT), 400, says);
      assert.equal(gateway.jobs.views.size, 0);
    });
  }

  it('refuses to ignore more than a hundred things', async () => {
    const query = (count: number): string =>
      `_type=Patient,${Array.from({ length: count }, (_, i) => `Shoe${String(i)}`).join(',')}`;
    assert.equal((await gateway.ask(`/fhir/$export?${query(100)}`, LENIENT)).status, 202);
    const answer = await gateway.ask(`/fhir/$export?${query(101)}`, LENIENT);
    await assertOutcome(answer, 400, /_type: "Shoe100".*100 other things/);
  });

  const badBodies: readonly (readonly [string, string, RegExp])[] = [
    ['{"resourceType":"Patient"}', 'application/json', /must be a Parameters resource/],
    ['[]', 'application/json', /must be a Parameters resource/],
    ['{', 'application/json', /^the body: .*JSON/],
    ['"x"', 'application/json', /^the body: .*JSON/],
    ['{"resourceType":"Parameters","parameter":{}}', 'application/json', /must be a list/],
    ['{"resourceType":"Parameters","parameter":[null]}', 'application/json', /must have a name/],
    [
      '{"resourceType":"Parameters","parameter":[{"name":"_type","valueReference":{}}]}',
      'application/json',
      /_type: it must have one value/,
    ],
    [
      '{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":{}}]}',
      'application/json',
      /patient: it must have one value/,
    ],
    ['_type=Patient', 'application/x-www-form-urlencoded', /Content-Type/],
    ['<Parameters/>', 'application/fhir+xml', /Content-Type/],
  ];
  for (const [body, contentType, says] of badBodies) {
    it(`refuses the body ${body} as ${contentType}`, async () => {
      const headers = { 'content-type': contentType };
      await assertOutcome(await gateway.ask('/fhir/$export', { method: 'POST', body, headers }), 400, says);
      assert.equal(gateway.jobs.views.size, 0);
    });
  }

  it('takes 100 000 patients with ids of 64 characters', async () => {
    const parameter = Array.from({ length: 100_000 }, (_, i) => ({
      name: 'patient',
      valueReference: { reference: `Patient/${String(i).padStart(64, 'p')}` },
    }));
    const answer = await gateway.ask('/fhir/Patient/$export', {
      method: 'POST',
      headers: { 'content-type': 'application/fhir+json' },
      body: JSON.stringify({ resourceType: 'Parameters', parameter }),
    });
    await assertOutcome(answer, 202, /accepted/);
    assert.equal(gateway.jobs.only.parameters.patients.length, 100_000);
  });

  it('refuses a body that is too long', async () => {
    await assertOutcome(
      await post({ resourceType: 'Parameters', parameter: [], x: 'x'.repeat(17 << 20) }),
      413,
      /^the body: it is too large, 16777216 bytes at most/,
    );
  });

  for (const prefer of [
    'respond-async',
    'Respond-Async',
    'RESPOND-ASYNC,handling=lenient',
    'return=minimal; respond-async',
  ]) {
    it(`takes Prefer: ${prefer}`, async () => {
      assert.equal((await gateway.ask('/fhir/$export', { headers: { prefer } })).status, 202);
    });
  }

  it('demands Prefer: respond-async, unless the setting says otherwise', async () => {
    await assertOutcome(
      await gateway.ask('/fhir/$export', { headers: { prefer: 'return=minimal' } }),
      400,
      /Prefer/,
    );
    const relaxed = await runGateway({ requirePrefer: false });
    try {
      assert.equal((await relaxed.ask('/fhir/$export', { headers: { prefer: '' } })).status, 202);
    } finally {
      await relaxed.stop();
    }
  });

  for (const accept of [
    '*/*',
    'application/fhir+json;q=0.9',
    'application/fhir+ndjson',
    'text/html, application/fhir+json',
    'text/html, */*;q=0.1',
    'Application/FHIR+JSON; charset=utf-8',
  ]) {
    it(`takes Accept: ${accept}`, async () => {
      assert.equal((await gateway.ask('/fhir/$export', { headers: { accept } })).status, 202);
    });
  }
  for (const accept of [
    'application/json',
    'text/html',
    'application/fhir+xml',
    'text/html, application/json',
  ]) {
    it(`refuses Accept: ${accept}`, async () => {
      await assertOutcome(await gateway.ask('/fhir/$export', { headers: { accept } }), 400, /Accept/);
    });
  }
  it('takes nothing but application/fhir+json when strict', async () => {
    const strict = await runGateway({ strictAccept: true });
    try {
      assert.equal((await strict.ask('/fhir/$export')).status, 202);
      await assertOutcome(await strict.ask('/fhir/$export', { headers: { accept: '*/*' } }), 400, /Accept/);
    } finally {
      await strict.stop();
    }
  });

  it('answers 429 with Retry-After over the limit', async () => {
    for (let i = 0; i < 3; i++) assert.equal((await gateway.ask('/fhir/$export')).status, 202);
    const response = await gateway.ask('/fhir/$export');
    assert.match(response.headers.get('retry-after') ?? '', /^\d+$/);
    await assertOutcome(response, 429, /too many/);
  });

  it('answers 503 with Retry-After when the database is away, and tells nothing about it', async () => {
    gateway.jobs.failure = new HeadwaterError('unavailable', 'connect ECONNREFUSED 10.0.0.7:5432');
    const response = await gateway.ask('/fhir/$export');
    assert.match(response.headers.get('retry-after') ?? '', /^\d+$/);
    await assertOutcome(response, 503, /^((?!10\.0\.0\.7).)*$/);
    assert.ok(gateway.logged.some((line) => line.includes('10.0.0.7')));
  });

  it('answers 500 without its insides when something unexpected fails, and logs it', async () => {
    gateway.jobs.failure = new TypeError('password of x is y');
    await assertOutcome(await gateway.ask('/fhir/$export'), 500, /^((?!password).)*$/);
    assert.ok(gateway.logged.some((line) => line.includes('password of x is y')));
  });

  it('starts nothing by HEAD', async () => {
    assert.equal((await gateway.ask('/fhir/$export', { method: 'HEAD' })).status, 405);
    assert.equal(gateway.jobs.views.size, 0);
  });

  it('ignores an Authorization header', async () => {
    assert.equal(
      (await gateway.ask('/fhir/$export', { headers: { authorization: 'Bearer x' } })).status,
      202,
    );
  });
});
