import assert from 'node:assert/strict';
import fc from 'fast-check';
import { HeadwaterError } from '../../../src/base/errors.ts';
import { JwtVerifier } from '../../../src/access/external/jwt-verifier.ts';
import { AUDIENCE, json, StubIssuer } from './stub-issuer.ts';

describe('the verifier of JWT', () => {
  let issuer: StubIssuer;
  let other: StubIssuer;
  let verifier: JwtVerifier;
  let now: number;

  before(async () => {
    issuer = await StubIssuer.start();
    other = await StubIssuer.start();
  });
  after(async () => {
    await issuer.stop();
    await other.stop();
  });
  beforeEach(() => {
    now = 1_800_000_000_000;
    verifier = new JwtVerifier(issuer.settings(), () => now);
  });

  const refuses = (token: string, code = 'invalid-token', why = token.slice(0, 60)) =>
    assert.rejects(verifier.verify(token, now), { name: 'HeadwaterError', code }, why);
  const seconds = (ms: number) => Math.floor(ms / 1_000);

  it('accepts the types of an access token, and refuses those of other tokens', async () => {
    for (const typ of [undefined, 'JWT', 'jwt', 'at+jwt', 'application/at+jwt', 'AT+JWT'])
      assert.equal(
        (await verifier.verify(await issuer.token(now, { header: { typ } }), now)).client,
        'portal',
      );
    for (const typ of ['id+jwt', 'dpop+jwt', 'logout+jwt', 'JWT ', '', 'secevent+jwt'])
      await refuses(await issuer.token(now, { header: { typ } }), 'invalid-token', `typ ${typ}`);
  });

  it('refuses a header whose members are no text', async () => {
    const [, ...rest] = (await issuer.token(now)).split('.');
    for (const header of [
      { alg: 'ES256', kid: 'first', typ: 5 },
      { alg: 'ES256', kid: 'first', typ: { toLowerCase: 'x' } },
      { alg: 'ES256', kid: 'first', typ: ['at+jwt'] },
      { alg: 'ES256', kid: 'first', typ: null },
      { alg: ['ES256'], kid: 'first' },
      { alg: 'ES256', kid: ['first'] },
      { alg: 'ES256', kid: '__proto__' },
      { alg: 'ES256', kid: 'first', crit: ['b64'], b64: false },
      { alg: 'ES256', kid: 'first', crit: ['made-up'], 'made-up': 1 },
      [],
      null,
    ])
      await refuses([Buffer.from(JSON.stringify(header)).toString('base64url'), ...rest].join('.'));
  });

  it('refuses an ID token', async () => {
    await refuses(await issuer.token(now, { claims: { nonce: 'n' } }));
    await refuses(await issuer.token(now, { claims: { at_hash: 'h' } }));
  });

  it('refuses a token whose issuer, audience or times are not as they must be', async () => {
    const good = await issuer.token(now, { claims: { aud: ['https://other.example', AUDIENCE] } });
    await verifier.verify(good, now);
    for (const claims of [
      { iss: `${issuer.url}/` },
      { iss: issuer.url.toUpperCase() },
      { iss: other.url },
      { iss: null },
      { iss: [issuer.url] },
      { aud: null },
      { aud: [] },
      { aud: `${AUDIENCE}/` },
      { aud: { 0: AUDIENCE } },
      { exp: null },
      { exp: String(seconds(now) + 300) },
      { nbf: seconds(now) + 31 },
      { nbf: 'soon' },
    ])
      await refuses(await issuer.token(now, { claims }), 'invalid-token', JSON.stringify(claims));
    await verifier.verify(await issuer.token(now, { claims: { nbf: seconds(now) + 30 } }), now);
    await verifier.verify(await issuer.token(now, { claims: { exp: seconds(now) - 29 } }), now);
    await refuses(await issuer.token(now, { claims: { exp: seconds(now) - 30 } }), 'expired-token');
  });

  it('does not call a token expired that another key has signed', async () => {
    const expired = await other.token(now, { claims: { iss: issuer.url, exp: seconds(now) - 60 } });
    await refuses(expired);
  });

  it('refuses a token that the key of another issuer has signed', async () => {
    await refuses(await other.token(now, { claims: { iss: issuer.url } }));
    await refuses(await other.token(now));
    const theirs = new JwtVerifier(other.settings(), () => now);
    await assert.rejects(theirs.verify(await issuer.token(now, { claims: { iss: other.url } }), now), {
      code: 'invalid-token',
    });
    await theirs.verify(await other.token(now), now);
  });

  it('refuses an algorithm that is not of the issuer, although the key could do it', async () => {
    const strict = new JwtVerifier({ ...issuer.settings(), algorithms: ['RS256'] }, () => now);
    await assert.rejects(strict.verify(await issuer.token(now), now), { code: 'invalid-token' });
  });

  it('refuses a token longer than 8 KiB without asking the issuer', async () => {
    const before = issuer.asked.length;
    await refuses(await issuer.token(now, { claims: { padding: 'x'.repeat(6_200) } }));
    assert.equal(issuer.asked.length, before);
    await verifier.verify(await issuer.token(now, { claims: { padding: 'x'.repeat(5_000) } }), now);
  });

  it('accepts a new key after one fetch, and asks at most once in 30 s for unknown ones', async () => {
    const own = await StubIssuer.start();
    try {
      const rotating = new JwtVerifier(own.settings(), () => now);
      const before = await own.token(now);
      await rotating.verify(before, now);
      await own.rotate('second');
      now += 30_000;
      await rotating.verify(await own.token(now, { kid: 'second' }), now);
      const fetches = () => own.asked.filter((path) => path === '/jwks').length;
      assert.equal(fetches(), 2);
      await assert.rejects(rotating.verify(before, now), { code: 'invalid-token' });
      for (let i = 0; i < 50; i++)
        await assert.rejects(rotating.verify(await own.token(now, { header: { kid: `k${i}` } }), now), {
          code: 'invalid-token',
        });
      assert.equal(fetches(), 2);
    } finally {
      await own.stop();
    }
  });

  it('finds the keys again when they have moved', async () => {
    const own = await StubIssuer.start();
    try {
      const moving = new JwtVerifier(own.settings(), () => now);
      await moving.verify(await own.token(now), now);
      now += 300_000;
      own.answers.set('/elsewhere', own.answers.get('/jwks') ?? json({}));
      own.answers.delete('/jwks');
      const metadata = { ...own.metadata(), jwks_uri: `${own.url}/elsewhere` };
      own.answers.set('/.well-known/openid-configuration', json(metadata));
      const token = await own.token(now);
      await assert.rejects(moving.verify(token, now), { code: 'unavailable' });
      await moving.verify(token, now);
    } finally {
      await own.stop();
    }
  });

  it('gives no identity for random changes of a good token, and says only documented codes', async () => {
    const good = await issuer.token(now);
    const parts = good.split('.');
    const text = parts.map((part) => Buffer.from(part, 'base64url').toString('latin1'));
    const changedText = fc
      .record({
        part: fc.integer({ min: 0, max: 1 }),
        at: fc.nat(1_000),
        cut: fc.nat(5),
        put: fc.string({ unit: 'binary-ascii', maxLength: 5 }),
      })
      .map(({ part, at, cut, put }) => {
        const whole = text[part] ?? '';
        const start = at % whole.length;
        const changed = whole.slice(0, start) + put + whole.slice(start + cut);
        return parts.with(part, Buffer.from(changed, 'latin1').toString('base64url')).join('.');
      });
    const changedMembers = fc
      .dictionary(fc.constantFrom('alg', 'kid', 'typ', 'crit', 'jwk', 'jku', 'b64'), fc.jsonValue())
      .map((members) => {
        const header = JSON.stringify({ ...(JSON.parse(text[0] ?? '') as object), ...members });
        return parts.with(0, Buffer.from(header).toString('base64url')).join('.');
      });
    const changedSignature = fc
      .uint8Array({ maxLength: 80 })
      .map((bytes) => parts.with(2, Buffer.from(bytes).toString('base64url')).join('.'));
    const anything = fc.string({ unit: 'binary', maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(fc.oneof(changedText, changedMembers, changedSignature, anything), async (token) => {
        fc.pre(token !== good);
        const error = await verifier.verify(token, now).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        assert.ok(error instanceof HeadwaterError, String(error));
        assert.equal(error.code, 'invalid-token');
      }),
      { numRuns: 3_000 },
    );
  });
});
