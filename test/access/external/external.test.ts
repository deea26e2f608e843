import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { generateKeyPair, SignJWT } from 'jose';
import type { Access } from '../../../src/access/access.ts';
import { OidcIssuer } from '../../support/oidc-issuer.ts';
import type { OidcClaims } from '../../support/oidc-issuer.ts';
import { accessOf } from '../clients.ts';

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
    const { privateKey } = await generateKeyPair('RS256');
    const token = await issuer.token('patient/*.rs');
    const { kid } = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as {
      kid: string;
    };
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
      string,
      unknown
    >;
    const sign = (payload: Record<string, unknown>, header: object = {}) =>
      new SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid, ...header }).sign(privateKey);
    for (const forged of [
      await sign(claims),
      await sign({ ...claims, iss: other.url }),
      await sign({ ...claims, iss: 'https://unknown.example' }),
      await sign(claims, { kid: 'made-up' }),
      `${token.split('.').slice(0, 2).join('.')}.`,
      token.replace(/^[^.]+/, Buffer.from('{"alg":"none"}').toString('base64url')),
      token.replace(/^[^.]+/, Buffer.from(JSON.stringify({ alg: 'HS256', kid })).toString('base64url')),
      'opaque-for-nobody',
    ])
      await assert.rejects(verify(access, forged), { code: 'invalid-token' }, forged.slice(0, 40));
    await verify(access, token);
  });
});
