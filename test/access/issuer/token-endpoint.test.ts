import assert from 'node:assert/strict';
import { createPublicKey, createSign, generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { exportSPKI, importJWK, SignJWT } from 'jose';
import type { Access } from '../../../src/access/access.ts';
import { accessOf, SECRET, TestClient, tokenForm } from '../clients.ts';

const BASE = 'https://export.example.org/fhir';
const ALGORITHMS = ['ES384', 'RS384'] as const;
const ROLE = { export: { levels: ['system'] }, rules: [{ id: 'all', types: '*', where: 'everything' }] };

type Answer = Awaited<ReturnType<Access['issueToken']>>;

for (const algorithm of ALGORITHMS)
  describe(`the token endpoint with ${algorithm}`, () => {
    let client: TestClient;
    let other: TestClient;
    let access: Access;
    let time: number;
    const at = `${BASE}/auth/token`;

    before(async () => {
      client = await TestClient.make('warehouse', algorithm);
      other = await TestClient.make('other', algorithm);
    });
    beforeEach(async () => {
      time = 0;
      access = await open();
    });

    async function open(more: object = {}, keys?: object): Promise<Access> {
      const entry = { scopes: ['system/*.rs'], roles: ['service'] };
      const content = {
        version: 1,
        issuers: { embedded: more },
        clients: {
          warehouse: { ...entry, jwks: keys ?? (await client.jwks()) },
          other: {
            ...entry,
            jwks: await other.jwks(),
            scopes: ['system/Patient.rs', 'system/Observation.read'],
          },
        },
        roles: { service: ROLE },
      };
      return (await accessOf(content, { baseUrl: BASE, clock: () => Date.now() + time })).access;
    }

    const post = (assertion: string, scope?: string): Promise<Answer> =>
      access.issueToken(tokenForm(assertion, scope));

    async function isRefused(assertion: string): Promise<void> {
      assert.deepEqual(await post(assertion), {
        status: 401,
        body: { error: 'invalid_client', error_description: 'the client could not be authenticated' },
      });
    }

    it('issues a token to a good assertion, without iat and at the edge of its lifetime', async () => {
      const { status, body } = await post(await client.assertion(at));
      assert.equal(status, 200);
      assert.equal(body['token_type'], 'bearer');
      assert.equal(body['expires_in'], 300);
      assert.equal(body['scope'], 'system/*.rs');
      const identity = await access.authenticate([`Bearer ${String(body['access_token'])}`]);
      assert.equal(identity.client, 'warehouse');
      assert.deepEqual(identity.roles, ['service']);
    });

    it('takes the issuer or the URL of the endpoint as the only audience', async () => {
      for (const aud of [at, BASE, [at]])
        assert.equal((await post(await client.assertion('', { claims: { aud } }))).status, 200);
      for (const aud of [
        [at, 'https://other.example'],
        [at, BASE],
        'https://other.example/token',
        `${at}/`,
        [],
        undefined,
        7,
      ])
        await isRefused(await client.assertion('', { claims: { aud } }));
    });

    it('takes an assertion that lives 5 minutes at most, by clocks that are off by the tolerance', async () => {
      const now = Math.floor(Date.now() / 1_000);
      for (const exp of [now + 300, now + 358, now - 50])
        assert.equal(
          (await post(await client.assertion(at, { claims: { exp } }))).status,
          200,
          String(exp - now),
        );
      for (const exp of [now + 363, now - 61, undefined, 'soon', 1e12, -1])
        await isRefused(await client.assertion(at, { claims: { exp } }));
      for (const claims of [{ nbf: now + 90 }, { iat: now + 90 }, { iat: 'x' }])
        await isRefused(await client.assertion(at, { claims }));
      access = await open({ tolerance: 0 });
      await isRefused(await client.assertion(at, { claims: { exp: now - 2 } }));
    });

    it('takes an assertion once, and the same id of another client', async () => {
      const claims = { jti: 'one' };
      const assertion = await client.assertion(at, { claims });
      const answers = await Promise.all(Array.from({ length: 50 }, () => post(assertion)));
      assert.equal(answers.filter(({ status }) => status === 200).length, 1);
      await isRefused(await client.assertion(at, { claims }));
      assert.equal((await post(await other.assertion(at, { claims }))).status, 200);
      for (const jti of [undefined, '', 7, 'x'.repeat(2_000)])
        await isRefused(await client.assertion(at, { claims: { jti } }));
    });

    it('uses up no id of an assertion whose signature is wrong', async () => {
      const good = await client.assertion(at, { claims: { jti: 'theirs' } });
      const [header, payload] = good.split('.');
      await isRefused(`${header}.${payload}.`);
      await isRefused(`${header}.${payload}.${Buffer.alloc(96).toString('base64url')}`);
      assert.equal((await post(good)).status, 200);
    });

    it('refuses signatures that are none, or by another algorithm or key', async () => {
      const [, payload = ''] = (await client.assertion(at)).split('.');
      const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
      for (const alg of ['none', 'NoNe', 'NONE', ''])
        await isRefused(`${part({ alg, kid: client.kid, typ: 'JWT' })}.${payload}.`);
      const jwk = await client.publicKey();
      const pem = await exportSPKI((await importJWK(jwk, algorithm)) as Parameters<typeof exportSPKI>[0]);
      for (const secret of [
        pem,
        JSON.stringify(jwk),
        createPublicKey(pem).export({ type: 'spki', format: 'der' }),
      ])
        for (const alg of ['HS256', 'HS384'])
          await isRefused(
            await new SignJWT(
              JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>,
            )
              .setProtectedHeader({ alg, kid: client.kid, typ: 'JWT' })
              .sign(Buffer.from(secret)),
          );
      const foreign = await TestClient.make('warehouse', algorithm);
      await isRefused(await foreign.assertion(at, { header: { kid: client.kid } }));
    });

    it('refuses another algorithm of the same key, and a header of the other kind of key', async () => {
      const kind = algorithm === 'ES384' ? 'RS384' : 'ES384';
      const [, payload = ''] = (await client.assertion(at)).split('.');
      const sign = (alg: string, hash: string): string => {
        const head = Buffer.from(JSON.stringify({ alg, kid: client.kid, typ: 'JWT' })).toString('base64url');
        const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
        return `${head}.${payload}.${createSign(hash).update(`${head}.${payload}`).sign(privateKey).toString('base64url')}`;
      };
      for (const [alg, hash] of [
        ['RS256', 'sha256'],
        ['PS384', 'sha384'],
        ['ES256', 'sha256'],
        [kind, 'sha384'],
      ] as const)
        await isRefused(sign(alg, hash));
      access = await open({ algorithms: [kind] });
      await isRefused(await client.assertion(at));
    });

    it('refuses keys that the assertion brings, and follows no address in it', async () => {
      const jwk = await client.publicKey();
      for (const header of [
        { jwk },
        { x5c: ['MIIB'] },
        { x5u: 'https://evil.example' },
        { jku: 'https://evil.example/jwks' },
        { crit: ['exp'] },
      ])
        await assert.doesNotReject(async () => {
          const assertion = await client.assertion(at, { header }).catch(() => undefined);
          if (assertion !== undefined) await isRefused(assertion);
        });
    });

    it('asks for exactly one key of the id', async () => {
      for (const kid of [undefined, 'unknown', '../../etc/passwd', "' OR 1=1 --", 'x'.repeat(5_000)])
        await isRefused(await client.assertion(at, { header: { kid } }));
      const jwk = await client.publicKey();
      access = await open({}, { keys: [jwk, jwk] });
      await isRefused(await client.assertion(at));
      access = await open({}, { keys: [{ ...jwk, kty: algorithm === 'ES384' ? 'RSA' : 'EC' }, jwk] });
      assert.equal((await post(await client.assertion(at))).status, 200);
    });

    it('asks for one client, which is issuer and subject', async () => {
      for (const claims of [
        { iss: 'other' },
        { sub: 'other' },
        { iss: 'none', sub: 'none' },
        { iss: 'other', sub: 'other' },
        { iss: undefined },
        { sub: undefined },
        { iss: ['warehouse'] },
      ])
        await isRefused(await client.assertion(at, { claims }));
      const form = tokenForm(await client.assertion(at));
      form.set('client_id', 'other');
      assert.equal((await access.issueToken(form)).status, 401);
    });

    it('gives the scopes that are registered, in the form in which they were asked for', async () => {
      const scopeOf = async (one: TestClient, scope: string) =>
        (await post(await one.assertion(at), scope)).body['scope'] ??
        (await post(await one.assertion(at), scope)).body['error'];
      assert.equal(await scopeOf(client, 'system/*.read'), 'system/*.read');
      assert.equal(await scopeOf(client, 'system/*.rs'), 'system/*.rs');
      assert.equal(await scopeOf(client, 'system/*.cruds'), 'system/*.rs');
      assert.equal(await scopeOf(client, 'system/Patient.r'), 'system/Patient.r');
      assert.equal(
        await scopeOf(client, 'system/Patient.read system/Observation.rs'),
        'system/Patient.read system/Observation.rs',
      );
      assert.equal(await scopeOf(other, 'system/*.rs'), 'system/Patient.rs system/Observation.rs');
      assert.equal(
        await scopeOf(client, 'system/Patient.rs system/Nothing.rs launch openid'),
        'system/Patient.rs',
      );
      for (const scope of [
        '',
        'system/Nothing.rs',
        'system/Patient.dus',
        'system/*.write',
        'user/*.rs',
        'patient/*.rs',
        'system/Observation.rs?category:in=laboratory',
        'system/Patient.rs\r\nX: y',
        Array.from({ length: 10_000 }, () => 'x/y.z').join(' '),
      ])
        assert.equal(await scopeOf(client, scope), 'invalid_scope', scope.slice(0, 60));
      assert.equal(await scopeOf(other, 'system/Condition.rs'), 'invalid_scope');
    });

    it('refuses forms that are not those of the grant', async () => {
      const form = async (change: (form: URLSearchParams) => void): Promise<Answer> => {
        const made = tokenForm(await client.assertion(at));
        change(made);
        return access.issueToken(made);
      };
      for (const [change, error] of [
        [(made: URLSearchParams) => made.set('grant_type', 'password'), 'unsupported_grant_type'],
        [(made: URLSearchParams) => made.delete('grant_type'), 'unsupported_grant_type'],
        [(made: URLSearchParams) => made.set('client_assertion_type', 'x'), 'invalid_request'],
        [(made: URLSearchParams) => made.append('scope', 'system/*.rs'), 'invalid_request'],
        [(made: URLSearchParams) => made.append('client_assertion', 'x'), 'invalid_request'],
      ] as const)
        assert.deepEqual([(await form(change)).status, (await form(change)).body['error']], [400, error]);
      assert.equal((await form((made) => made.delete('client_assertion'))).status, 401);
    });

    it('takes none of its own tokens, and no assertion as a token', async () => {
      const { body } = await post(await client.assertion(at));
      const token = String(body['access_token']);
      await isRefused(token);
      for (const wrong of [await client.assertion(at), await client.assertion(BASE)])
        await assert.rejects(access.authenticate([`Bearer ${wrong}`]), { code: 'invalid-token' });
      const elsewhere = await accessOf(
        {
          version: 1,
          issuers: { embedded: {} },
          clients: { warehouse: { jwks: await client.jwks(), scopes: ['system/*.rs'], roles: ['service'] } },
          roles: { service: ROLE },
        },
        { baseUrl: BASE, secret: `${SECRET} of another environment` },
      );
      await assert.rejects(elsewhere.access.authenticate([`Bearer ${token}`]), { code: 'invalid-token' });
      time = 299_000;
      await access.authenticate([`Bearer ${token}`]);
      time = 302_000;
      await assert.rejects(access.authenticate([`Bearer ${token}`]), { code: 'expired-token' });
    });

    it('gives no token for any change of a good assertion', async () => {
      const good = await client.assertion(at);
      await fc.assert(
        fc.asyncProperty(
          fc.nat(good.length - 1),
          fc.constantFrom('A', 'B', 'z', '0', '9', '_', '-', '.', '='),
          fc.constantFrom('put', 'cut', 'insert'),
          async (where, letter, how) => {
            const tail = good.slice(how === 'insert' ? where : where + 1);
            const changed = good.slice(0, where) + (how === 'cut' ? '' : letter) + tail;
            const { status } = await post(changed);
            if (changed === good) return;
            // The last letter of a part has bits that no byte uses: such a change is the same assertion, which is good once.
            const same = changed
              .split('.')
              .every((part, i) =>
                Buffer.from(part, 'base64url').equals(Buffer.from(good.split('.')[i] ?? '', 'base64url')),
              );
            assert(status === 401 || (same && status === 200), `${status} for ${how} ${letter} at ${where}`);
          },
        ),
        { numRuns: Number(process.env['HEADWATER_TEST_MUTATIONS'] ?? 2_000) },
      );
    });
  });
