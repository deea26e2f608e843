import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Access } from '../../../src/access/access.ts';
import { OidcIssuer } from '../../support/oidc-issuer.ts';
import type { OidcClaims } from '../../support/oidc-issuer.ts';
import { accessOf } from '../clients.ts';
import { StubIssuer } from './stub-issuer.ts';

const BASE = 'https://export.example.org/fhir';
const CLAIMS: OidcClaims = { roles: ['member', 'unknown-here'], patient: 'Patient/p1', groups: ['arm-a'] };
const ROLE = {
  export: { levels: ['patient'] },
  rules: [{ id: 'own', types: '*', where: { patient: 'self' } }],
};

describe('an external issuer', function () {
  this.timeout(20_000);
  let time: number;
  const started: OidcIssuer[] = [];

  beforeEach(() => {
    time = 0;
  });
  afterEach(async () => {
    for (const issuer of started.splice(0)) await issuer.stop();
  });

  async function start(
    format: 'jwt' | 'opaque',
    more: { audience?: string; seconds?: number; port?: number } = {},
  ) {
    const issuer = await OidcIssuer.start({ format, audience: BASE, claims: CLAIMS, ...more });
    started.push(issuer);
    return issuer;
  }

  const entry = (issuer: OidcIssuer, format: 'jwt' | 'opaque', more: object = {}) => ({
    name: 'hospital',
    issuer: issuer.url,
    validate:
      format === 'jwt' ? 'jwt' : { introspection: { clientId: 'headwater', clientSecretFile: 'secret.txt' } },
    algorithms: ['RS256'],
    audience: BASE,
    claims: { attributes: { groups: 'groups' } },
    roles: { member: 'patient' },
    allowedJwksHosts: ['localhost'],
    ...more,
  });

  async function accessWith(...external: object[]): Promise<Access> {
    const content = { version: 1, issuers: { external: [] }, roles: { patient: ROLE } };
    const options = { baseUrl: BASE, clock: () => Date.now() + time };
    // The folder has to be there before the file that names the secret.
    const { path } = await accessOf({ ...content, issuers: { embedded: {} } }, options);
    await writeFile(join(dirname(path), 'secret.txt'), 'headwater secret/+\n');
    await writeFile(path, JSON.stringify({ ...content, issuers: { external } }));
    const { Access: Real } = await import('../../../src/access/access.ts');
    return Real.open({
      ...{ file: path, secret: 'x'.repeat(32), logger: { debug() {}, info() {}, warn() {}, error() {} } },
      ...{ used: { use: () => Promise.resolve(true) }, ...options },
    });
  }

  const verify = (access: Access, token: string) => access.authenticate([`Bearer ${token}`]);

  for (const format of ['jwt', 'opaque'] as const) {
    it(`vouches for a client, its roles, patient and attributes by a token that is ${format}`, async () => {
      const issuer = await start(format);
      const access = await accessWith(entry(issuer, format));
      const identity = await verify(access, await issuer.token('patient/*.rs'));
      assert.deepEqual(
        { ...identity, tokenId: undefined },
        {
          ...{ issuer: issuer.url, client: 'portal', subject: undefined, patient: 'p1', roles: ['patient'] },
          ...{ scopes: ['patient/*.rs'], attributes: { groups: ['arm-a'] }, tokenId: undefined },
        },
      );
    });

    it(`is not believed about another audience, with a token that is ${format}`, async () => {
      const issuer = await start(format, { audience: 'https://other.example.org' });
      const access = await accessWith(entry(issuer, format));
      await assert.rejects(verify(access, await issuer.token('patient/*.rs')), { code: 'invalid-token' });
    });

    it(`is asked again when it was away, with a token that is ${format}, and the others work meanwhile`, async () => {
      const issuer = await start(format);
      const other = await start('jwt');
      const access = await accessWith(entry(issuer, format), { ...entry(other, 'jwt'), name: 'clinic' });
      const token = await issuer.token('patient/*.rs');
      const port = Number(new URL(issuer.url).port);
      await issuer.stop();
      started.splice(started.indexOf(issuer), 1);
      await assert.rejects(verify(access, token), { code: 'unavailable' });
      assert.equal((await verify(access, await other.token('patient/*.rs'))).client, 'portal');
      const again = await start(format, { port });
      assert.equal((await verify(access, await again.token('patient/*.rs'))).client, 'portal');
    });
  }

  it('lets a JWT expire, 30 s of tolerance behind', async () => {
    const issuer = await start('jwt');
    const access = await accessWith(entry(issuer, 'jwt'));
    const token = await issuer.token('patient/*.rs');
    time = 320_000;
    await verify(access, token);
    time = 332_000;
    await assert.rejects(verify(access, token), { code: 'expired-token' });
  });

  it('takes back an opaque token within the time for which its answer is kept', async () => {
    const issuer = await start('opaque');
    const access = await accessWith(entry(issuer, 'opaque'));
    const token = await issuer.token('patient/*.rs');
    await verify(access, token);
    await issuer.revoke(token);
    time = 29_000;
    await verify(access, token);
    time = 30_001;
    await assert.rejects(verify(access, token), { code: 'invalid-token' });
  });

  it('signs for itself only', async () => {
    const [issuer, other] = [await start('jwt'), await start('jwt')];
    const access = await accessWith(entry(issuer, 'jwt'), { ...entry(other, 'jwt'), name: 'clinic' });
    const token = await issuer.token('patient/*.rs');
    const [, payload = ''] = token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
    const { kid } = issuer;
    for (const forged of [
      await other.sign(claims),
      await other.sign(claims, kid),
      await issuer.sign({ ...claims, iss: other.url }),
      await issuer.sign({ ...claims, iss: other.url }, other.kid),
      await issuer.sign({ ...claims, iss: 'https://unknown.example' }),
      await issuer.sign({ ...claims, iss: [issuer.url] }),
      await issuer.sign({ ...claims, iss: undefined }),
      await issuer.sign(claims, 'made-up'),
      `${token.split('.').slice(0, 2).join('.')}.`,
      token.replace(/^[^.]+/, Buffer.from('{"alg":"none"}').toString('base64url')),
      token.replace(/^[^.]+/, Buffer.from(JSON.stringify({ alg: 'HS256', kid })).toString('base64url')),
      'opaque-for-nobody',
    ])
      await assert.rejects(verify(access, forged), { code: 'invalid-token' }, forged.slice(0, 40));
    await verify(access, token);
    await verify(access, await issuer.sign(claims));
    await verify(access, await other.sign({ ...claims, iss: other.url }));
  });

  it('vouches for its own opaque tokens without waiting for another issuer that does not answer', async () => {
    const [issuer, other] = [await start('opaque'), await start('opaque')];
    const silent = await StubIssuer.start();
    try {
      const access = await accessWith(
        { ...entry(issuer, 'opaque', { issuer: silent.url }), name: 'silent' },
        entry(issuer, 'opaque'),
        { ...entry(other, 'opaque'), name: 'clinic' },
      );
      const [mine, theirs] = [await issuer.token('patient/*.rs'), await other.token('patient/*.rs')];
      silent.answers.set('/.well-known/openid-configuration', () => undefined);
      const start = Date.now();
      assert.equal((await verify(access, mine)).issuer, issuer.url);
      assert.equal((await verify(access, theirs)).issuer, other.url);
      assert.ok(Date.now() - start < 2_000);
      silent.answers.delete('/.well-known/openid-configuration');
      await silent.stop();
      await assert.rejects(verify(access, 'made-up'), { code: 'unavailable' });
    } finally {
      await silent.stop();
    }
  });

  it('is not believed about a JWT that its key has signed, if its tokens are opaque', async () => {
    const [issuer, other] = [await start('opaque'), await start('jwt')];
    const access = await accessWith(entry(issuer, 'opaque'), { ...entry(other, 'jwt'), name: 'clinic' });
    const claims = { aud: BASE, client_id: 'portal', exp: Math.floor(Date.now() / 1_000) + 60 };
    for (const iss of [issuer.url, other.url, 'https://unknown.example', undefined, 5])
      await assert.rejects(
        verify(access, await issuer.sign({ ...claims, iss })),
        { code: 'invalid-token' },
        String(iss),
      );
    await verify(access, await issuer.token('patient/*.rs'));
    await verify(access, await other.sign({ ...claims, iss: other.url }));
  });
});
