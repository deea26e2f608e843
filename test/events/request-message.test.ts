import assert from 'node:assert/strict';
import { HeadwaterError } from '../../src/base/errors.ts';
import type { Grant } from '../../src/events/grant.ts';
import { parseRequestMessage } from '../../src/events/request-message.ts';
import { RequestSeal } from '../../src/events/request-seal.ts';
import { EVERYTHING } from '../../src/events/request.ts';

const seal = new RequestSeal('a secret of the tests');

const KEY = { name: 'research', fingerprint: 'ef' };

/** A grant that has every field. */
const GRANT: Grant = {
  ...{ policy: 'ab'.repeat(32), issuer: 'https://id.example.org', client: 'lab', patient: 'p1' },
  ...{ roles: ['research'], types: ['Observation', 'Patient'] },
  rules: [
    {
      ...{
        id: 'research/patients',
        effect: 'allow',
        types: ['Patient'],
        where: { kind: 'any' },
        shared: 'exclude',
      },
      redact: [
        { path: 'name', do: 'mask' },
        { path: 'birthDate', do: 'year' },
        { path: 'identifier', do: 'hash', key: KEY },
        { path: 'telecom', do: 'random', key: KEY },
        { path: 'address', do: 'remove', keep: ['state'] },
      ],
      criteria: ['Patient?active=true'],
    },
    {
      id: 'research/all',
      effect: 'deny',
      types: '*',
      where: { kind: 'everything' },
      shared: 'any',
      redact: [],
    },
    {
      id: 'a/b',
      effect: 'allow',
      types: '*',
      where: { kind: 'patients', ids: ['p1'] },
      shared: 'any',
      redact: [],
    },
    {
      id: 'a/c',
      effect: 'allow',
      types: '*',
      where: { kind: 'groups', ids: ['g1'] },
      shared: 'any',
      redact: [],
    },
  ],
  queries: ['Observation?category=laboratory'],
  deidentify: { name: 'safe', hash: 'cd'.repeat(32), scope: 'patient', fingerprints: { cryptoHash: 'ef' } },
};

const REQUEST = {
  ...{ kind: 'ExportRequested', jobId: 'job-1', clientId: 'lab', requestUrl: 'http://x' },
  parameters: { ...EVERYTHING, typeFilters: ['Patient?active=true'], deidentify: 'safe' },
  grant: GRANT,
};

function written(request: object): Buffer {
  return Buffer.from(JSON.stringify({ ...request, acceptedAt: 17, seal: seal.of(request) }));
}

describe('a request in the write-ahead log', () => {
  it('is read as the gateway made it, with every field of a grant', () => {
    const read = JSON.parse(JSON.stringify(parseRequestMessage(written(REQUEST), seal))) as object;
    assert.deepEqual(read, JSON.parse(JSON.stringify({ ...REQUEST, acceptedAt: 17 })));
  });

  it('is read without a grant, with the defaults of parameters that an older gateway did not know', () => {
    const { grant: _, ...open } = REQUEST;
    const old = { ...open, parameters: { outputFormat: 'ndjson' } };
    const read = parseRequestMessage(written(old), seal);
    assert.equal(read.kind === 'ExportRequested' && read.parameters.level, 'system');
    assert.equal(read.kind === 'ExportRequested' && read.grant, undefined);
  });

  it('is refused when any part of it was changed', () => {
    const content = JSON.parse(written(REQUEST).toString()) as typeof REQUEST & { seal: string };
    for (const changed of [
      { ...content, clientId: 'other' },
      { ...content, parameters: { ...content.parameters, types: ['Binary'] } },
      { ...content, grant: { ...GRANT, types: [...GRANT.types, 'Condition'] } },
      { ...content, grant: undefined },
      { ...content, more: 1 },
      { ...content, seal: undefined },
    ])
      assert.throws(
        () => parseRequestMessage(Buffer.from(JSON.stringify(changed)), seal),
        (error) => error instanceof HeadwaterError && error.code === 'forbidden',
      );
  });
});
