import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAccessFile } from '../../src/access/access-file.ts';
import { resolveGrant } from '../../src/access/grants.ts';
import type { Granted } from '../../src/access/grants.ts';
import { permittedGroups } from '../../src/access/permitted-groups.ts';
import type { AccessPolicy } from '../../src/access/policy.ts';
import { EVERYTHING } from '../../src/events/request.ts';
import type { ExportParameters } from '../../src/events/request.ts';

const CONFIG = JSON.stringify({
  fhirVersion: 'R4',
  fhirPathRules: [{ path: 'Resource.id', method: 'cryptoHash' }],
});
const HASH = createHash('sha256').update(CONFIG).digest('hex');
const IDENTITY = {
  ...{ issuer: 'i', client: 'c', subject: undefined, patient: undefined, tokenId: undefined },
  ...{ roles: ['a'], scopes: ['system/*.rs'], attributes: {} },
};
const RULES = [{ id: 'all', types: '*', where: 'everything' }];

describe('de-identification in the access file', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headwater-access-'));
    await writeFile(join(folder, 'config.json'), CONFIG);
    await writeFile(join(folder, 'other.json'), CONFIG.replace('cryptoHash', 'redact'));
    await writeFile(join(folder, 'hash.key'), 'a secret key\n');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function read(more: object = {}, keys: object = { cryptoHash: 'hash.key' }): Promise<AccessPolicy> {
    const path = join(folder, 'access.json');
    const role = { export: { levels: ['system'], deidentify: ['study'], ...more }, rules: RULES };
    const deidentification = {
      study: { config: 'config.json', keys, dateShiftScope: 'patient' },
      other: { config: 'other.json' },
    };
    const content = { version: 1, issuers: { embedded: {} }, roles: { a: role }, deidentification };
    await writeFile(path, JSON.stringify(content));
    return readAccessFile(path);
  }

  function resolve(policy: AccessPolicy, asked: Partial<ExportParameters>): Granted {
    return resolveGrant(policy, IDENTITY, { ...EVERYTHING, ...asked }, { lenient: false });
  }

  it('gives the grant name, sha256 and fingerprints, and no secret', async () => {
    const { grant, parameters } = resolve(await read(), { deidentify: 'study', deidentifyEtag: HASH });
    assert.deepEqual(grant.deidentify, {
      ...{ name: 'study', hash: HASH, scope: 'patient' },
      fingerprints: grant.deidentify?.fingerprints,
    });
    assert.deepEqual(Object.keys(grant.deidentify.fingerprints), ['cryptoHash']);
    assert.doesNotMatch(JSON.stringify(grant), /secret/);
    assert.equal(parameters.deidentify, 'study');
  });

  it('leaves an export as it is without a request for more', async () => {
    assert.equal(resolve(await read(), {}).grant.deidentify, undefined);
  });

  it('applies the one configuration of a role that requires it, without being asked', async () => {
    const { grant, parameters } = resolve(await read({ requireDeidentify: true }), {});
    assert.deepEqual([grant.deidentify?.name, parameters.deidentify], ['study', 'study']);
  });

  const refused: [title: string, role: object, asked: Partial<ExportParameters>, code: string][] = [
    ['another sha256', {}, { deidentify: 'study', deidentifyEtag: '0'.repeat(64) }, 'precondition'],
    ['a sha256 without a name', {}, { deidentifyEtag: HASH }, 'bad-request'],
    ['a configuration of other roles', {}, { deidentify: 'other' }, 'forbidden'],
    ['an unknown configuration', {}, { deidentify: 'none' }, 'forbidden'],
    ['organized output', {}, { deidentify: 'study', organizeBy: 'Patient' }, 'bad-request'],
    ['no choice of several', { requireDeidentify: true, deidentify: ['study', 'other'] }, {}, 'forbidden'],
    ['a search', { requireDeidentify: true }, { typeFilters: ['Patient?name=x'] }, 'forbidden'],
  ];
  for (const [title, role, asked, code] of refused) {
    it(`refuses an export with ${title}`, async () => {
      const policy = await read(role);
      assert.throws(() => resolve(policy, asked), { code });
    });
  }

  it('hides the members of Groups from a client that gets de-identified exports only', async () => {
    const export_ = { levels: ['group'], groups: '*' };
    for (const requireDeidentify of [false, true]) {
      const { whole } = permittedGroups(await read({ ...export_, requireDeidentify }), IDENTITY);
      assert.equal(whole, !requireDeidentify);
    }
  });

  it('stops the start for a missing key, a missing file and an unknown name', async () => {
    await assert.rejects(
      read({}, {}),
      /deidentification\.study: the method cryptoHash needs the key cryptoHash/,
    );
    await assert.rejects(
      read({}, { cryptoHash: 'none' }),
      /deidentification\.study\.keys\.cryptoHash: cannot read/,
    );
    await assert.rejects(
      read({ deidentify: ['none'] }),
      /export\.deidentify: there is no deidentification "none"/,
    );
    await assert.rejects(read({ deidentify: [], requireDeidentify: true }), /requireDeidentify: name a/);
  });
});
