import assert from 'node:assert/strict';
import fhir from 'fhir';
import { RESOURCE_TYPES } from '../../src/fhir/resource-types.ts';
import { parseTypeFilter } from '../../src/fhir/search/type-filter.ts';
import { FORMATS } from '../../src/events/export-parameter-table.ts';
import { MemoryJobs } from './memory-jobs.ts';
import { assertOutcome, runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

const GUIDE = 'http://hl7.org/fhir/uv/bulkdata/OperationDefinition';

interface Operation {
  readonly name: string;
  readonly definition: string;
}
interface CapabilityStatement {
  readonly fhirVersion: string;
  readonly instantiates: readonly string[];
  readonly rest: readonly [
    {
      readonly documentation: string;
      readonly operation: readonly Operation[];
      readonly resource: readonly {
        readonly type: string;
        readonly documentation?: string;
        readonly searchParam: readonly { readonly name: string; readonly type: string }[];
        readonly operation?: readonly Operation[];
      }[];
    },
  ];
}
interface OperationDefinition {
  readonly code: string;
  readonly base: string;
  readonly url: string;
  readonly system: boolean;
  readonly type: boolean;
  readonly instance: boolean;
  readonly resource?: readonly string[];
  readonly parameter: readonly {
    readonly name: string;
    readonly use: string;
    readonly min: number;
    readonly max: string;
    readonly type: string;
  }[];
}

const validator = new fhir.Fhir();

function assertValidR4(resource: object): void {
  const { messages } = validator.validate(resource, { errorOnUnexpected: true });
  // It has no list of media types.
  assert.deepEqual(
    messages.filter(({ severity }) => String(severity) !== 'info'),
    [],
  );
}

describe('GET /fhir/metadata', () => {
  let gateway: RunningGateway;
  let statement: CapabilityStatement;
  before(async () => {
    gateway = await runGateway();
    statement = (await (await gateway.ask('/fhir/metadata')).json()) as CapabilityStatement;
  });
  after(() => gateway.stop());

  it('is a CapabilityStatement that is valid in R4', () => {
    assertValidR4(statement);
    assert.equal(statement.fhirVersion, '4.0.1');
    assert.throws(() => assertValidR4({ ...statement, kind: undefined, more: 1 }));
  });

  it("instantiates the guide's statement and has its operations at each level, under both names", () => {
    assert.deepEqual(statement.instantiates, [
      'http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data',
    ]);
    const [rest] = statement.rest;
    assert.deepEqual(rest.operation, [{ name: 'export', definition: `${GUIDE}/export` }]);
    for (const [type, name] of [
      ['Patient', 'patient-export'],
      ['Group', 'group-export'],
    ] as const) {
      assert.deepEqual(rest.resource.find((resource) => resource.type === type)?.operation, [
        { name, definition: `${GUIDE}/${name}` },
        { name: 'export', definition: `${GUIDE}/${name}` },
      ]);
    }
    assert.equal(rest.resource.filter(({ operation }) => operation).length, 2);
  });

  it('names every exportable type', () => {
    assert.deepEqual(
      statement.rest[0].resource.map(({ type }) => type),
      RESOURCE_TYPES,
    );
  });

  it('names the search parameters that _typeFilter takes, and no other', () => {
    let count = 0;
    for (const { type, searchParam } of statement.rest[0].resource) {
      for (const { name } of searchParam) {
        assert.doesNotThrow(() => parseTypeFilter(`${type}?${name}:missing=false`), `${type}?${name}`);
        count++;
      }
      const names = searchParam.map(({ name }) => name);
      assert.equal(new Set(names).size, names.length, type);
      for (const name of ['_text', '_content', '_has', '_sort', '_include', 'near', 'phonetic'])
        assert.ok(!names.includes(name), `${type}?${name}`);
      for (const name of ['_id', '_lastUpdated', '_tag', '_profile', '_security'])
        assert.ok(names.includes(name), `${type}?${name}`);
    }
    assert.ok(count > 2_000, String(count));
  });

  it('says what an export of patients holds, and what becomes of members who join or leave under _since', () => {
    const [{ documentation, resource }] = statement.rest;
    for (const word of ['compartment', 'Provenance', 'Context', 'joined', 'left', '`deleted`', '_typeFilter'])
      assert.ok(documentation.includes(word), word);
    const told = resource.filter((one) => one.documentation).map(({ type }) => type);
    assert.ok(told.includes('Practitioner') && told.includes('Organization') && told.includes('Medication'));
    assert.ok(!told.includes('Patient') && !told.includes('Observation') && !told.includes('Provenance'));
  });

  it('is JSON for a client that accepts it, and 406 for one that does not', async () => {
    for (const accept of [
      'application/fhir+json',
      'application/fhir+json; fhirVersion=4.0',
      'application/json',
      'text/html,application/xhtml+xml,*/*;q=0.8',
      '*/*',
      '',
    ]) {
      const response = await gateway.ask('/fhir/metadata', { headers: { accept } });
      assert.equal(response.status, 200, accept);
      assert.match(response.headers.get('content-type') ?? '', /^application\/fhir\+json/);
    }
    for (const format of ['json', 'application/fhir+json', 'application/fhir%2Bjson', 'application/json'])
      assert.equal((await gateway.ask(`/fhir/metadata?_format=${format}`)).status, 200, format);
    const xml = { headers: { accept: 'application/fhir+xml' } };
    await assertOutcome(await gateway.ask('/fhir/metadata', xml), 406, /application\/fhir\+xml.*fhir\+json/);
    await assertOutcome(await gateway.ask('/fhir/metadata?_format=xml'), 406, /"xml"/);
    assert.equal((await gateway.ask('/fhir/metadata?_format=json', xml)).status, 200);
  });
});

describe('GET /fhir/OperationDefinition', () => {
  const LEVELS = [
    ['export', '/fhir/$export'],
    ['patient-export', '/fhir/Patient/$export'],
    ['group-export', '/fhir/Group/g/$export'],
  ] as const;
  let gateway: RunningGateway;
  beforeEach(async () => {
    gateway = await runGateway({}, new MemoryJobs(1000));
  });
  afterEach(() => gateway.stop());

  const definitionOf = async (id: string): Promise<OperationDefinition> =>
    (await (await gateway.ask(`/fhir/OperationDefinition/${id}`)).json()) as OperationDefinition;

  it("has three that are valid in R4 and based on the guide's", async () => {
    for (const [id] of LEVELS) {
      const definition = await definitionOf(id);
      assertValidR4(definition);
      assert.equal(definition.base, `${GUIDE}/${id}`);
      assert.equal(definition.url, `${gateway.url}/fhir/OperationDefinition/${id}`);
      assert.equal(definition.code, 'export');
    }
    await assertOutcome(await gateway.ask('/fhir/OperationDefinition/import'), 404, /patient-export/);
    const xml = { headers: { accept: 'application/fhir+xml' } };
    await assertOutcome(await gateway.ask('/fhir/OperationDefinition/export', xml), 406, /fhir\+json/);
  });

  it('is at the levels that have an address', async () => {
    const levels = async (id: string): Promise<unknown[]> => {
      const { system, type, instance, resource } = await definitionOf(id);
      return [system, type, instance, resource];
    };
    assert.deepEqual(await levels('export'), [true, false, false, undefined]);
    assert.deepEqual(await levels('patient-export'), [false, true, true, ['Patient']]);
    assert.deepEqual(await levels('group-export'), [false, false, true, ['Group']]);
  });

  it('has exactly the parameters that a kick-off takes, as often as it takes them', async () => {
    const known = /those that are: (.*)"/.exec(
      await (await gateway.ask('/fhir/$export?unknown=1')).text(),
    )?.[1];
    const all = known?.split(', ') ?? [];
    const documented = new Set<string>();
    for (const [id, path] of LEVELS) {
      const { parameter } = await definitionOf(id);
      const parameters = parameter.filter(({ use }) => use === 'in');
      for (const name of all) {
        const own = parameters.find((one) => one.name === name);
        const once = await gateway.ask(`${path}?${name}=${EXAMPLES[name] ?? ''}`);
        // Without an access file there is no configuration to name.
        const unusable = name.startsWith('_anonymizationConfig');
        assert.equal(once.status, own && !unusable ? 202 : 400, `${id} ${name} ${await once.text()}`);
        if (!own) continue;
        documented.add(name);
        assert.equal(own.min, 0);
        if (unusable) continue;
        const twice = await gateway.ask(
          `${path}?${name}=${EXAMPLES[name] ?? ''}&${name}=${EXAMPLES[name] ?? ''}`,
        );
        assert.equal(twice.status, own.max === '*' ? 202 : 400, `${id} ${name} twice`);
        assert.equal((await post(path, name, own.type)).status, 202, `${id} ${name} by POST`);
      }
      assert.deepEqual(
        parameters.map(({ name }) => name).filter((name) => !all.includes(name)),
        [],
      );
    }
    assert.deepEqual([...documented].sort(), all.sort());
  });

  /** With a value of the data type that the definition has. */
  function post(path: string, name: string, type: string): Promise<Response> {
    const text = decodeURIComponent(EXAMPLES[name] ?? '');
    const value = type === 'boolean' ? text === 'true' : type === 'Reference' ? { reference: text } : text;
    const parameter = { name, [`value${type.charAt(0).toUpperCase()}${type.slice(1)}`]: value };
    return gateway.ask(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ resourceType: 'Parameters', parameter: [parameter] }),
    });
  }

  it('names the formats that _outputFormat takes', async () => {
    const text = JSON.stringify(await definitionOf('export'));
    for (const format of FORMATS.keys()) assert.ok(text.includes(format), format);
  });
});

const EXAMPLES: Readonly<Record<string, string>> = {
  _outputFormat: 'ndjson',
  _since: '2026-01-31T12:00:00.000Z',
  _until: '2026-01-31T12:00:00.000Z',
  _type: 'Patient',
  _typeFilter: encodeURIComponent('Patient?active=true'),
  _elements: 'id',
  patient: 'Patient/1',
  includeAssociatedData: 'LatestProvenanceResources',
  organizeOutputBy: 'Patient',
  allowPartialManifests: 'true',
  _container: 'research',
};

describe('/.well-known/smart-configuration', () => {
  it('is 404 with an OperationOutcome, at the root and under the base, since there is no authentication', async () => {
    const gateway = await runGateway();
    for (const base of ['', '/fhir'])
      await assertOutcome(
        await gateway.ask(`${base}/.well-known/smart-configuration`),
        404,
        /smart-configuration/,
      );
    await gateway.stop();
  });
});
