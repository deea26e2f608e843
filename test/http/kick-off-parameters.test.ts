import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { EVERYTHING } from '../../src/events/request.ts';
import type { ExportParameters } from '../../src/events/request.ts';
import { assertOutcome, runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

describe('kick-off', () => {
  let gateway: RunningGateway;
  beforeEach(async () => {
    gateway = await runGateway();
  });
  afterEach(() => gateway.stop());

  async function accepted(answer: Response | Promise<Response>): Promise<ExportParameters> {
    await assertOutcome(await answer, 202, /accepted/);
    const { parameters } = gateway.jobs.only;
    gateway.jobs.views.clear();
    return parameters;
  }
  const get = (path: string): Promise<Response> => gateway.ask(`/fhir/${path}`);
  const post = (path: string, ...parameter: object[]): Promise<Response> =>
    gateway.ask(`/fhir/${path}`, {
      method: 'POST',
      body: JSON.stringify({ resourceType: 'Parameters', parameter }),
      headers: { 'content-type': 'application/fhir+json' },
    });
  async function refused(answer: Promise<Response>, status: number, says: RegExp): Promise<void> {
    await assertOutcome(await answer, status, says);
    assert.equal(gateway.jobs.views.size, 0);
  }

  it('asks for Binary only where _type names it, unless the server is set up to return it', async () => {
    assert.equal((await accepted(get('$export'))).binary, true);
    const usual = await runGateway({ exportBinary: false });
    assert.equal((await usual.ask('/fhir/$export')).status, 202);
    assert.equal(usual.jobs.only.parameters.binary, false);
    await assertOutcome(
      await usual.ask('/fhir/$export?_typeFilter=Binary%3F_id%3Db'),
      400,
      /_typeFilter: "Binary\?_id=b" needs a _type that names Binary/,
    );
    const statement = await (await usual.ask('/fhir/metadata')).text();
    assert.match(statement, /but Binary only if `_type` names it/);
    await usual.stop();
  });

  describe('at each level', () => {
    const targets: readonly (readonly [string, Partial<ExportParameters>])[] = [
      ['$export', { level: 'system' }],
      ['Patient/$export', { level: 'patient' }],
      ['Patient/p-1.A/$export', { level: 'patient', patients: ['p-1.A'] }],
      ['Group/g-1/$export', { level: 'group', group: 'g-1' }],
    ];
    for (const [path, target] of targets) {
      it(`takes GET and POST ${path}`, async () => {
        assert.deepEqual(await accepted(get(path)), { ...EVERYTHING, ...target });
        assert.deepEqual(await accepted(get(path.replace('$', '%24'))), { ...EVERYTHING, ...target });
        const type = { name: '_type', valueString: 'Observation' };
        assert.deepEqual(await accepted(post(path, type)), {
          ...EVERYTHING,
          ...target,
          types: ['Observation'],
        });
      });
    }

    it('is 404 for what cannot be an id, and for exports of other types', async () => {
      await refused(get('Group/a%20b/$export'), 404, /"a b" is not the id/);
      await refused(get(`Patient/${'x'.repeat(65)}/$export`), 404, /"x{65}" is not the id/);
      await refused(get('Patient/%zz/$export'), 404, /"%zz" is not the id/);
      await refused(get('Observation/$export'), 404, /no "\/fhir\/Observation\/\$export" here/);
      await refused(get('Group/$export'), 404, /no "\/fhir\/Group\/\$export" here/);
      await refused(get('patient/$export'), 404, /no "\/fhir\/patient\/\$export" here/);
    });
  });

  describe('with patient', () => {
    it('takes one reference each by POST, at patient and group level', async () => {
      const references = ['Patient/a', 'Patient/b', 'Patient/a'].map((reference) => ({
        name: 'patient',
        valueReference: { reference, display: 'x' },
      }));
      assert.deepEqual((await accepted(post('Patient/$export', ...references))).patients, ['a', 'b']);
      assert.deepEqual((await accepted(post('Group/g/$export', ...references))).patients, ['a', 'b']);
    });

    for (const query of [
      'patient=a,b',
      'patient=Patient/a&patient=b',
      'patient=a%2CPatient%2Fb',
      'patient=a%252Cb',
    ]) {
      it(`takes the list ?${query} by GET`, async () => {
        assert.deepEqual((await accepted(get(`Patient/$export?${query}`))).patients, ['a', 'b']);
      });
    }

    it('takes references to patients of this server, relative or below its base URL', async () => {
      for (const reference of [
        'Patient/a',
        'Patient/a/_history/1',
        'https://fhir.example.org/r4/Patient/a',
        'https://fhir.example.org/r4/Patient/a/_history/1',
      ]) {
        const parameter = { name: 'patient', valueReference: { reference } };
        assert.deepEqual((await accepted(post('Patient/$export', parameter))).patients, ['a'], reference);
      }
    });

    it('refuses what is no patient here', async () => {
      for (const value of [
        'Group/a',
        'https://elsewhere.example/fhir/Patient/a',
        'Patient/a/b',
        'https://fhir.example.org/r4/Group/a',
        '',
      ]) {
        const named = new RegExp(`patient: "${escaped(value)}" is not a reference like Patient/123`);
        await refused(get(`Patient/$export?patient=${encodeURIComponent(value)}`), 400, named);
        const parameter = { name: 'patient', valueReference: { reference: value } };
        await refused(post('Group/g/$export', parameter), 400, named);
      }
      await refused(
        post('Patient/$export', { name: 'patient', valueReference: { identifier: { value: 'x' } } }),
        400,
        /patient: it must have one value/,
      );
    });

    it('refuses it where it contradicts the target', async () => {
      await refused(get('$export?patient=a'), 400, /patient: "a" is no part of a system export/);
      await refused(
        get('Patient/b/$export?patient=a'),
        400,
        /patient: "a" is given to an export of Patient\/b/,
      );
    });

    it('refuses more than a hundred thousand', async () => {
      const ids = (count: number): object => ({
        name: 'patient',
        valueString: Array.from({ length: count }, (_, i) => String(i)).join(','),
      });
      assert.equal((await accepted(post('Patient/$export', ids(100_000)))).patients.length, 100_000);
      await refused(post('Patient/$export', ids(100_001)), 400, /patient: 100001 are given, 100000 at most/);
    });
  });

  it('refuses more than one record of the log can hold', async () => {
    const long = { name: '_typeFilter', valueString: `Patient?name=${'x'.repeat(8 << 20)}` };
    await refused(post('$export', long), 400, /all parameters together have \d+ bytes, 7340032 are possible/);
  });

  describe('with lists', () => {
    for (const comma of [',', '%2C', '%2c', '%252C', ',%20']) {
      it(`takes ${comma} for a comma, and repeats`, async () => {
        const query = `_type=Patient${comma}Group&_type=Device&_elements=id${comma}Patient.name&_elements=code`;
        const { types, elements } = await accepted(get(`$export?${query}`));
        assert.deepEqual(types, ['Patient', 'Group', 'Device']);
        assert.deepEqual(elements, ['id', 'Patient.name', 'code']);
      });
    }

    const [active, codes] = ['Patient?active=true', 'Observation?code=http://loinc.org|1-2,3-4&date=ge2020'];
    const once = encodeURIComponent;
    const twice = (text: string): string => once(once(text));
    const filters: Readonly<Record<string, string>> = {
      repeated: `_typeFilter=${once(active)}&_typeFilter=${once(codes)}`,
      'repeated and encoded twice': `_typeFilter=${twice(active)}&_typeFilter=${twice(codes)}`,
      'a list, encoded once': `_typeFilter=${once(`${active},${codes}`)}`,
      'a list, encoded twice': `_typeFilter=${twice(`${active},${codes}`)}`,
      'a list of encoded queries': `_typeFilter=${once(`${active},${codes}`).replace('%2CObs', ',Obs')}`,
      'mixed, each once': `_typeFilter=${once(`${active},${codes}`)}&_typeFilter=${once(active)}`,
    };
    for (const [how, query] of Object.entries(filters)) {
      it(`takes _typeFilter ${how}, and keeps commas between values`, async () => {
        assert.deepEqual((await accepted(get(`$export?${query}`))).typeFilters, [active, codes]);
      });
    }

    it('takes commas that are encoded inside of a query for part of its value', async () => {
      const query = 'Patient?name:exact=A%5C%2CB';
      assert.deepEqual((await accepted(get(`$export?_typeFilter=${once(query)}`))).typeFilters, [query]);
      const comma = 'Patient?name:exact=A\\,Patient?x';
      assert.deepEqual((await accepted(get(`$export?_typeFilter=${once(comma)}`))).typeFilters, [comma]);
    });

    it('takes _typeFilter as one valueString by POST, and repeated', async () => {
      const list = { name: '_typeFilter', valueString: `${active},${codes}` };
      assert.deepEqual((await accepted(post('$export', list))).typeFilters, [active, codes]);
      const each = [active, codes].map((valueString) => ({ name: '_typeFilter', valueString }));
      assert.deepEqual((await accepted(post('$export', ...each))).typeFilters, [active, codes]);
    });

    for (const query of [
      '_sort=date',
      '_include=Observation:subject',
      '_has:Observation:subject:code=1',
      'general-practitioner.name=x',
      'name:in=x',
    ]) {
      it(`refuses what one resource cannot answer by name: Patient?${query}`, async () => {
        const name = query.slice(0, query.indexOf('='));
        const says = new RegExp(`^_typeFilter: .*${escaped(name.startsWith('_has') ? '_has' : name)}`);
        await refused(get(`$export?_typeFilter=${once(`Patient?${query}`)}`), 400, says);
      });
    }

    it('takes includeAssociatedData; when both codes are given, the one that leaves out less', async () => {
      const of = async (codes: string): Promise<string> =>
        (await accepted(get(`$export?includeAssociatedData=${codes}`))).provenance;
      assert.equal(await of('LatestProvenanceResources'), 'latest');
      assert.equal(await of('RelevantProvenanceResources'), 'relevant');
      assert.equal(await of('LatestProvenanceResources,RelevantProvenanceResources'), 'relevant');
      assert.equal(
        await of('RelevantProvenanceResources&includeAssociatedData=LatestProvenanceResources'),
        'relevant',
      );
    });
  });

  describe('with single values', () => {
    it('takes them by GET and, in the types of FHIR, by POST', async () => {
      const expected: ExportParameters = {
        ...EVERYTHING,
        level: 'patient',
        since: '2024-01-01T00:00:00Z',
        until: '2025-01-01T00:00:00+01:00',
        outputFormat: 'ndjson+gzip',
        organizeBy: 'Patient',
        partialManifests: true,
        container: 'research',
      };
      const query =
        '_since=2024-01-01T00:00:00Z&_until=2025-01-01T00:00:00+01:00&_outputFormat=application/fhir+ndjson+gzip' +
        '&organizeOutputBy=Patient&allowPartialManifests=true&_container=research';
      assert.deepEqual(await accepted(get(`Patient/$export?${query}`)), expected);
      const parameters = [
        { name: '_since', valueInstant: '2024-01-01T00:00:00Z' },
        { name: '_until', valueInstant: '2025-01-01T00:00:00+01:00' },
        { name: '_outputFormat', valueString: 'application/fhir+ndjson+gzip' },
        { name: 'organizeOutputBy', valueString: 'Patient' },
        { name: 'allowPartialManifests', valueBoolean: true },
        { name: '_container', valueString: 'research' },
      ];
      assert.deepEqual(await accepted(post('Patient/$export', ...parameters)), expected);
      const [first, ...others] = parameters;
      assert.ok(first);
      const both = post('Patient/$export?_since=2024-01-01T00:00:00Z', ...others);
      assert.deepEqual(await accepted(both), expected);
      await refused(post('$export?_since=2024-01-01T00:00:00Z', first), 400, /_since is given 2 times/);
    });

    it('refuses to organize by patient what belongs to none', async () => {
      const query = 'Patient/$export?organizeOutputBy=Patient&_type=Patient,Medication';
      await refused(get(query), 400, /organizeOutputBy: "Patient" has no place for Medication/);
    });

    it('refuses to organize by patient together with associated data', async () => {
      const query =
        'Patient/$export?organizeOutputBy=Patient&includeAssociatedData=LatestProvenanceResources';
      await refused(
        get(query),
        400,
        /organizeOutputBy: "Patient" does not go together with includeAssociatedData/,
      );
    });

    it('answers a POST with a request URL without what the body says', async () => {
      await post('Patient/$export?_type=Patient', { name: '_elements', valueString: 'id' });
      assert.equal(gateway.jobs.only.requestUrl, `${gateway.url}/fhir/Patient/$export?_type=Patient`);
    });
  });

  describe('with preferences', () => {
    const preferring = (prefer: string): Promise<Response> =>
      gateway.ask('/fhir/$export', { headers: { prefer } });

    for (const prefer of [
      'respond-async,separate-export-status',
      'Respond-Async, Separate-Export-Status',
      'separate-export-status; respond-async, handling=lenient',
    ]) {
      it(`says that it applies ${prefer}`, async () => {
        const answer = await preferring(prefer);
        assert.equal(answer.headers.get('preference-applied'), 'respond-async, separate-export-status');
        assert.equal((await accepted(answer)).separateStatus, true);
      });
    }

    it('has no separate status for those who did not ask for it', async () => {
      const answer = await preferring('respond-async');
      assert.equal(answer.headers.get('preference-applied'), null);
      assert.equal((await accepted(answer)).separateStatus, false);
    });

    for (const [prefer, status] of [
      ['respond-async, handling=strict, handling=lenient', 400],
      ['handling=lenient, respond-async; handling=strict', 202],
    ] as const)
      it(`takes the first handling of several: ${prefer}`, async () => {
        assert.equal((await gateway.ask('/fhir/$export?x=1', { headers: { prefer } })).status, status);
      });

    for (const handling of ['handling=lenient', 'Handling = Lenient', 'handling="lenient"']) {
      it(`is lenient with ${handling}`, async () => {
        const headers = { prefer: `respond-async, ${handling}` };
        const { warnings } = await accepted(gateway.ask('/fhir/$export?_sort=x', { headers }));
        assert.match(warnings.join(), /^Ignored: parameter "_sort"/);
      });
    }

    it('ignores an unknown parameter of any kind when lenient', async () => {
      const body = { resourceType: 'Parameters', parameter: [{ name: 'x', part: [{ name: 'y' }] }] };
      const headers = { prefer: 'respond-async, handling=lenient', 'content-type': 'application/json' };
      const init = { method: 'POST', body: JSON.stringify(body), headers };
      assert.match((await accepted(gateway.ask('/fhir/$export', init))).warnings.join(), /parameter "x"/);
    });
  });

  it('refuses a GET with a body, whose parameters it would not read', async () => {
    const { hostname, port } = new URL(gateway.url);
    const headers = { accept: '*/*', prefer: 'respond-async', 'content-length': 2 };
    const request = httpRequest({ hostname, port, path: '/fhir/$export', headers }).end('{}');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 400);
    assert.match(await text(response), /the body: a GET must not have one/);
    assert.equal(gateway.jobs.views.size, 0);
  });
});

function escaped(text: string): string {
  return text.replaceAll(/[^\w"]/g, '\\$&');
}
