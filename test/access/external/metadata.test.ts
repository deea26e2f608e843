import assert from 'node:assert/strict';
import { MetadataSource } from '../../../src/access/external/metadata.ts';
import { json, StubIssuer } from './stub-issuer.ts';

const OPENID = '/.well-known/openid-configuration';

describe('the metadata of an issuer', () => {
  let issuer: StubIssuer;
  let now: number;

  beforeEach(async () => {
    now = 1_800_000_000_000;
    issuer = await StubIssuer.start();
  });
  afterEach(() => issuer.stop());

  const source = (url = issuer.url, allowedJwksHosts = ['localhost']) =>
    new MetadataSource({ issuer: url, allowedJwksHosts }, () => now);
  const cannot = (what: MetadataSource, why: string) =>
    assert.rejects(what.read(), { name: 'HeadwaterError', code: 'unavailable' }, why);

  it('is kept for an hour, and fetched once for many requests', async () => {
    const kept = source();
    await Promise.all(Array.from({ length: 20 }, () => kept.read()));
    now += 3_599_999;
    await kept.read();
    assert.deepEqual(issuer.asked, [OPENID]);
    now += 1;
    await kept.read();
    assert.deepEqual(issuer.asked, [OPENID, OPENID]);
  });

  it('is found at the places of OpenID Connect and of OAuth, for an issuer with a path', async () => {
    const url = `${issuer.url}/realms/a`;
    const document = json({ ...issuer.metadata(), issuer: url });
    const places = [`/realms/a${OPENID}`, '/.well-known/oauth-authorization-server/realms/a'];
    for (const place of places) {
      issuer.answers.set(place, document);
      assert.equal((await source(url).read()).issuer, url);
      issuer.answers.delete(place);
    }
    await cannot(source(url), 'neither place');
  });

  it('is not believed if it is of another issuer, even one that differs by a slash', async () => {
    for (const other of ['https://other.example', `${issuer.url}/`, issuer.url.toUpperCase(), '', 5, null]) {
      issuer.answers.set(OPENID, json({ ...issuer.metadata(), issuer: other }));
      await cannot(source(), String(other));
    }
    issuer.answers.set(OPENID, json(issuer.metadata()));
    await cannot(source(`${issuer.url}/`), 'the configured one has a slash');
  });

  it('is not there while the answer is a redirect, too long, or something else', async () => {
    issuer.answers.set('/good', json(issuer.metadata()));
    const padded = { ...issuer.metadata(), padding: 'x'.repeat(1 << 20) };
    for (const answer of [
      json(padded),
      json([]),
      json({ ...issuer.metadata(), jwks_uri: 'not a URL' }),
      ...['<html>', '', 'null'].map((text) => listener(200, text)),
      ...[301, 302, 307, 308].map((status) => listener(status, '', { location: '/good' })),
      ...[204, 403, 500].map((status) => listener(status, JSON.stringify(issuer.metadata()))),
    ]) {
      issuer.answers.set(OPENID, answer);
      await cannot(source(), answer.toString());
    }
    assert.ok(!issuer.asked.includes('/good'));
  });

  it('is waited for 5 s at each place, and found as soon as it is there', async () => {
    const late = source();
    issuer.answers.set(OPENID, () => undefined);
    const start = Date.now();
    await cannot(late, 'no answer');
    assert.ok(Date.now() - start < 6_000);
    issuer.answers.set(OPENID, json(issuer.metadata()));
    await late.read();
  });

  it('comes without TLS from a loopback host only that the operator trusts', async () => {
    await cannot(source(issuer.url, []), 'localhost is not trusted');
    await cannot(source(issuer.url.replace('localhost', '127.0.0.1')), 'another name of the host');
    await cannot(source('http://id.example.org', ['id.example.org']), 'no loopback host');
    await cannot(source(issuer.url.replace('http:', 'https:'), []), 'a private address');
    assert.deepEqual(issuer.asked, []);
  });

  it('stays if it was found again after an endpoint did not work', async () => {
    const kept = source();
    const before = await kept.read();
    kept.forget(before);
    await kept.read();
    kept.forget(before);
    await kept.read();
    assert.deepEqual(issuer.asked, [OPENID, OPENID]);
  });
});

function listener(status: number, text: string, headers: Record<string, string> = {}) {
  const answer: Parameters<StubIssuer['answers']['set']>[1] = (_, response) =>
    response.writeHead(status, headers).end(text);
  return answer;
}
