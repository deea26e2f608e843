import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { HeadwaterError } from '../../../src/base/errors.ts';
import { IntrospectionVerifier } from '../../../src/access/external/introspection-verifier.ts';
import { AUDIENCE, formOf, json, StubIssuer } from './stub-issuer.ts';

const HOW = { clientId: 'head:water', clientSecret: 'secret /+%', cacheSeconds: 30 };

describe('the verifier of opaque tokens', () => {
  let issuer: StubIssuer;
  let now: number;
  let verifier: IntrospectionVerifier;

  before(async () => {
    issuer = await StubIssuer.start();
  });
  after(() => issuer.stop());
  beforeEach(() => {
    now = 1_800_000_000_000;
    issuer.asked.length = 0;
    issuer.answers.set('/.well-known/openid-configuration', json(issuer.metadata()));
    says({});
    verifier = new IntrospectionVerifier(issuer.settings(HOW), HOW, () => now);
  });

  /** Makes the issuer vouch for every token, but for the members that the test replaces. */
  function says(members: object): void {
    const exp = now / 1_000 + 300;
    issuer.answers.set(
      '/introspect',
      json({ active: true, iss: issuer.url, aud: AUDIENCE, exp, client_id: 'portal', ...members }),
    );
  }
  const questions = () => issuer.asked.filter((path) => path === '/introspect').length;
  const verify = (token = 'opaque') => verifier.verify(token, now);
  const refuses = (code: string, token?: string, why?: string) =>
    assert.rejects(verify(token), { name: 'HeadwaterError', code }, why);

  it('asks by POST, with its own name and secret, for JSON', async () => {
    let seen: Record<string, unknown> = {};
    const good = issuer.answers.get('/introspect');
    issuer.answers.set('/introspect', (request, response) => {
      void formOf(request).then((form) => {
        const { accept, authorization, 'content-type': type } = request.headers;
        seen = { method: request.method, accept, authorization, type, token: form.get('token') };
        good?.(request, response);
      });
    });
    assert.equal((await verify('a+b/c=')).client, 'portal');
    const login = Buffer.from('head%3Awater:secret%20%2F%2B%25').toString('base64');
    assert.deepEqual(
      { ...seen, type: String(seen['type']).split(';')[0] },
      {
        ...{ method: 'POST', accept: 'application/json', authorization: `Basic ${login}` },
        ...{ type: 'application/x-www-form-urlencoded', token: 'a+b/c=' },
      },
    );
  });

  it('believes only an active answer about its own issuer and audience', async () => {
    says({ aud: ['https://other.example', AUDIENCE], iss: undefined, exp: undefined });
    await verify('good');
    const wrong = [
      ...[{ active: false }, { aud: 'https://other.example' }, { aud: [] }, { aud: undefined }],
      ...[{ aud: `${AUDIENCE}/` }, { iss: 'https://other.example' }, { iss: `${issuer.url}/` }],
      ...[{ exp: now / 1_000 }, { exp: now / 1_000 - 1 }, { exp: 0 }],
      ...[{ client_id: undefined }, { client_id: 5 }, { client_id: 'a\nb' }, { patient: 'Group/a' }],
    ];
    for (const [i, members] of wrong.entries()) {
      says(members);
      await refuses('invalid-token', `wrong-${i}`, JSON.stringify(members));
    }
  });

  it('is not able to tell while the answer is not as it must be', async () => {
    const answers: [string, Parameters<typeof issuer.answers.set>[1]][] = [
      ['no JSON', (_, response) => response.writeHead(200).end('<html>')],
      ['no object', (_, response) => response.writeHead(200).end('[]')],
      ['text for active', json({ active: 'true', aud: AUDIENCE, client_id: 'portal' })],
      ['text for exp', json({ active: true, aud: AUDIENCE, client_id: 'portal', exp: '9999999999' })],
      ['500', (_, response) => response.writeHead(500).end('{}')],
      ['401', (_, response) => response.writeHead(401).end('{}')],
      ['204', (_, response) => response.writeHead(204).end()],
      ['redirect', (_, response) => response.writeHead(307, { location: '/introspect' }).end()],
      ['cut', (request, response) => response.write('{"active":true', () => request.socket.destroy())],
      ['reset', (request) => request.socket.destroy()],
    ];
    for (const [name, answer] of answers) {
      issuer.answers.set('/introspect', answer);
      await refuses('unavailable', name, name);
    }
    says({});
    for (const [name] of answers) await verify(name);
  });

  it('reads at most 1 MiB, nothing compressed, and for 5 s', async () => {
    const padding = 'x'.repeat(1 << 20);
    says({ padding });
    await refuses('unavailable');
    issuer.answers.set('/introspect', (_, response) => {
      const body = gzipSync(JSON.stringify({ active: true, aud: AUDIENCE, client_id: 'portal', padding }));
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(body);
    });
    await refuses('unavailable');
    issuer.answers.set('/introspect', (_, response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write(' '), 100);
      response.on('close', () => clearInterval(drip));
    });
    const start = Date.now();
    await refuses('unavailable');
    assert.ok(Date.now() - start < 6_000);
  });

  it('does not send a token to a host whose address is private, or without TLS', async () => {
    const { port } = new URL(issuer.url);
    issuer.connections = 0;
    for (const endpoint of [
      ...[`http://127.0.0.1:${port}/introspect`, `https://127.0.0.1:${port}/introspect`],
      ...[`http://0.0.0.0:${port}/introspect`, `http://user@localhost:${port}/introspect`],
      ...[`https://localhost.:${port}/introspect`, 'file:///introspect'],
    ]) {
      const metadata = { ...issuer.metadata(), introspection_endpoint: endpoint };
      issuer.answers.set('/.well-known/openid-configuration', json(metadata));
      verifier = new IntrospectionVerifier(issuer.settings(HOW), HOW, () => now);
      await refuses('unavailable', 'opaque', endpoint);
    }
    assert.equal(questions(), 0);
    assert.equal(issuer.connections, issuer.asked.length, 'each connection was for metadata');
  });

  it('keeps a good answer as long as it may, and never beyond the end of the token', async () => {
    says({ exp: now / 1_000 + 10 });
    await verify();
    says({ active: false });
    now += 9_999;
    await verify();
    now += 1;
    await refuses('invalid-token');
    now += 5_000;
    says({});
    await verify();
    says({ active: false });
    now += 29_999;
    await verify();
    now += 1;
    await refuses('invalid-token');
  });

  it('keeps a refusal for 5 s, also of an answer whose claims are wrong', async () => {
    for (const members of [{ active: false }, { client_id: undefined }, { patient: 'Group/a' }]) {
      const token = JSON.stringify(members);
      issuer.asked.length = 0;
      says(members);
      await refuses('invalid-token', token);
      says({});
      now += 4_999;
      await refuses('invalid-token', token);
      assert.equal(questions(), 1, token);
      now += 1;
      await verify(token);
    }
  });

  it('refuses a token that the issuer calls a bad request, without asking for metadata again', async () => {
    issuer.answers.set('/introspect', (_, response) =>
      response.writeHead(400).end('{"error":"unsupported_token_type"}'),
    );
    for (const token of ['a', 'b', 'a', 'b', 'c']) await refuses('invalid-token', token);
    assert.equal(issuer.asked.length - questions(), 1);
    assert.equal(questions(), 3);
  });

  it('keeps nothing of an answer that did not come', async () => {
    issuer.answers.delete('/introspect');
    await refuses('unavailable');
    says({});
    await verify();
  });

  it('asks once for requests that have the same token at the same time', async () => {
    await Promise.all(Array.from({ length: 20 }, () => verify()));
    assert.equal(questions(), 1);
    says({ active: false });
    await Promise.all(Array.from({ length: 20 }, () => refuses('invalid-token', 'other')));
    assert.equal(questions(), 2);
  });

  it('does not keep the answer of one token for another', async () => {
    await verify('opaque');
    says({ active: false });
    for (const token of ['opaque ', 'Opaque', 'opaqu', 'opaque=', 'paque'])
      await refuses('invalid-token', token);
    await verify('opaque');
  });

  it('finds the endpoint again when it has moved', async () => {
    await verify('before');
    const moved = { ...issuer.metadata(), introspection_endpoint: `${issuer.url}/elsewhere` };
    issuer.answers.set('/.well-known/openid-configuration', json(moved));
    issuer.answers.set('/elsewhere', issuer.answers.get('/introspect') ?? json({}));
    issuer.answers.delete('/introspect');
    await refuses('unavailable', 'after');
    await verify('after');
  });

  it('refuses a token longer than 8 KiB without asking the issuer', async () => {
    await refuses('invalid-token', 'x'.repeat(8_193));
    assert.deepEqual(issuer.asked, []);
  });

  it('gives an identity only for an answer that vouches for it, whatever the answer is', async () => {
    let token = 0;
    const members = fc.dictionary(
      fc.constantFrom('active', 'iss', 'aud', 'exp', 'client_id', 'scope', 'patient', 'roles', 'sub'),
      fc.oneof(fc.jsonValue(), fc.constant(AUDIENCE), fc.constant(true), fc.constant(now / 1_000 + 9)),
    );
    await fc.assert(
      fc.asyncProperty(members, async (answer) => {
        issuer.answers.set('/introspect', json(answer));
        const result = await verify(`random-${token++}`).catch((error: unknown) => error);
        if (result instanceof Error) {
          assert.ok(result instanceof HeadwaterError, String(result));
          assert.match(result.code, /^(invalid-token|unavailable)$/);
        } else {
          assert.equal(answer['active'], true);
          assert.ok([answer['aud']].flat().includes(AUDIENCE));
        }
      }),
      { numRuns: 500 },
    );
  });
});
