import assert from 'node:assert/strict';
import type { Manifest } from '../../src/manifest/manifest.ts';
import { Headwater } from './headwater.ts';
import { manifestOnceComplete } from './one-export.ts';

const RESOURCES: readonly Resource[] = [
  { resourceType: 'Patient', id: 'p' },
  { resourceType: 'Practitioner', id: 'known' },
  { resourceType: 'Practitioner', id: 'filtered' },
  { resourceType: 'Practitioner', id: 'unknown' },
  ...(['final', 'preliminary'] as const).map((status) => ({
    resourceType: 'Observation',
    id: status,
    status,
    subject: { reference: 'Patient/p' },
    performer: [{ reference: `Practitioner/${status === 'final' ? 'known' : 'filtered'}` }],
  })),
  { resourceType: 'Provenance', id: 'of-final', target: [{ reference: 'Observation/final' }] },
  { resourceType: 'Provenance', id: 'of-preliminary', target: [{ reference: 'Observation/preliminary' }] },
  {
    resourceType: 'DocumentReference',
    id: 'd',
    subject: { reference: 'Patient/p' },
    content: [{ attachment: { contentType: 'text/plain', url: 'Binary/letter' } }],
  },
  { resourceType: 'Binary', id: 'letter', contentType: 'text/plain' },
  { resourceType: 'Binary', id: 'secret', contentType: 'text/plain' },
];

interface Resource {
  readonly [element: string]: unknown;
  readonly resourceType: string;
  readonly id: string;
}
interface Outcome {
  readonly resourceType: string;
  readonly issue: readonly { readonly severity: string; readonly diagnostics: string }[];
}

describe('the files of an export', function () {
  this.timeout(240_000);
  let headwater: Headwater;

  before(async () => {
    headwater = await Headwater.make(false);
    for (const resource of RESOURCES)
      await headwater.pool.query(
        'INSERT INTO resource (type, id, version, last_updated, body) VALUES ($1, $2, 1, now(), $3)',
        [resource.resourceType, resource.id, JSON.stringify(resource)],
      );
    await headwater.startServing();
    await headwater.startCapture();
  });

  after(() => headwater?.remove());

  async function exported(
    path: string,
    prefer = 'respond-async',
  ): Promise<{ keys: string[]; errors: Outcome[] }> {
    const headers = { accept: 'application/fhir+json', prefer };
    const response = await fetch(headwater.base + path, { headers });
    assert.equal(response.status, 202, await response.text());
    const manifest = await manifestOnceComplete(response.headers.get('content-location') ?? '');
    const output = await linesOf<Resource>(manifest.output);
    return {
      keys: output.map(({ resourceType, id }) => `${resourceType}/${id}`).sort(),
      errors: await linesOf<Outcome>(manifest.error),
    };
  }

  it('hold the compartments of patients and their Provenance, but no Binary', async () => {
    const { keys, errors } = await exported('/Patient/$export');
    assert.deepEqual(keys, [
      'DocumentReference/d',
      'Observation/final',
      'Observation/preliminary',
      'Patient/p',
      'Provenance/of-final',
      'Provenance/of-preliminary',
    ]);
    assert.deepEqual(errors, []);
  });

  it('hold only the Binary of patients that a DocumentReference points to', async () => {
    const { keys } = await exported('/Patient/p/$export?_type=Patient,DocumentReference,Binary');
    assert.deepEqual(keys, ['Binary/letter', 'DocumentReference/d', 'Patient/p']);
    assert.deepEqual((await exported('/Patient/$export?_type=Binary')).keys, []);
  });

  it('hold associated resources only of the resources that pass the filter', async () => {
    const { keys } = await exported(
      '/Patient/$export?_type=Observation,Practitioner&_typeFilter=Observation%3Fstatus%3Dfinal&includeAssociatedData=RelevantProvenanceResources',
    );
    assert.deepEqual(keys, ['Observation/final', 'Practitioner/known', 'Provenance/of-final']);
  });

  it('have a warning and no error for each parameter that lenient handling ignores', async () => {
    const { keys, errors } = await exported(
      '/$export?_type=Patient,Shoe&colour=red',
      'respond-async, handling=lenient',
    );
    assert.deepEqual(keys, ['Patient/p']);
    const issues = errors.flatMap(({ resourceType, issue }) =>
      issue.map((one) => ({ resourceType, ...one })),
    );
    assert.deepEqual(
      issues.map(({ resourceType, severity }) => `${resourceType} ${severity}`),
      ['OperationOutcome warning', 'OperationOutcome warning'],
    );
    for (const name of ['"colour"', '"Shoe"'])
      assert.equal(issues.filter(({ diagnostics }) => diagnostics.includes(name)).length, 1, name);
  });
});

async function linesOf<T>(files: Manifest['output']): Promise<T[]> {
  const texts = await Promise.all(files.map(async ({ url }) => (await fetch(url)).text()));
  return texts
    .flatMap((text) => text.split('\n').filter((line) => line !== ''))
    .map((line) => JSON.parse(line) as T);
}
