import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { KeySource } from '../../src/access/key-source.ts';
import { fetchDocument, isPrivateAddress } from '../../src/access/fetch-document.ts';

const KEY = { kty: 'EC', crv: 'P-384', kid: 'a', x: 'x', y: 'y' };

describe('the keys at a URL', () => {
  let server: Server;
  let url: string;
  let answer: RequestListener;
  let asked: number;
  let accepted: string | undefined;
  let now: number;

  before(async () => {
    server = createServer((request, response) => {
      asked++;
      accepted = request.headers.accept;
      answer(request, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://localhost:${String((server.address() as AddressInfo).port)}/jwks.json`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    asked = 0;
    now = 1_000_000;
    answer = serve([KEY]);
  });

  const serve =
    (keys: readonly object[], headers: Record<string, string> = {}): RequestListener =>
    (_, response) =>
      response.writeHead(200, headers).end(JSON.stringify({ keys }));
  const source = (): KeySource => new KeySource(['localhost'], () => now);

  it('are asked for as JSON, and kept for as long as their server allows, an hour at most', async () => {
    for (const [headers, kept] of [
      [{}, 300],
      [{ 'cache-control': 'public, max-age=40' }, 40],
      [{ 'cache-control': 'max-age=999999' }, 3_600],
      [{ 'cache-control': 'no-store' }, 0],
    ] as const) {
      asked = 0;
      answer = serve([KEY], headers);
      const keys = source();
      assert.equal((await keys.keysOf(url, 'a')).length, 1);
      assert.equal(accepted, 'application/json');
      now += Math.max(0, kept * 1_000 - 1);
      await keys.keysOf(url, 'a');
      assert.equal(asked, kept === 0 ? 2 : 1, `before ${kept} s`);
      now += 2;
      await keys.keysOf(url, 'a');
      assert.equal(asked, kept === 0 ? 3 : 2, `after ${kept} s`);
    }
  });

  it('are asked for once by many at a time, and again for an unknown id, but not often', async () => {
    const keys = source();
    await Promise.all(Array.from({ length: 20 }, () => keys.keysOf(url, 'a')));
    assert.equal(asked, 1);
    for (let i = 0; i < 50; i++) assert.deepEqual(await keys.keysOf(url, `made-up-${i}`), []);
    assert.equal(asked, 1);
    now += 30_001;
    answer = serve([KEY, { ...KEY, kid: 'rotated' }]);
    assert.equal((await keys.keysOf(url, 'rotated')).length, 1);
    assert.equal(asked, 2);
    now += 300_001;
    answer = serve([{ ...KEY, kid: 'rotated' }]);
    assert.deepEqual(await keys.keysOf(url, 'a'), [], 'a key that was withdrawn is gone');
  });

  it('stay good while their server is away and unknown ids are asked for', async () => {
    const keys = source();
    await keys.keysOf(url, 'a');
    now += 31_000;
    answer = (_, response) => response.writeHead(500).end();
    await assert.rejects(keys.keysOf(url, 'made-up'), { code: 'unavailable' });
    assert.equal((await keys.keysOf(url, 'a')).length, 1);
    assert.deepEqual(await keys.keysOf(url, 'made-up'), [], 'and it is not asked again at once');
    assert.equal(asked, 2);
  });

  it('are not usable when they are too many, too long, secret, or something else', async () => {
    const cases: readonly RequestListener[] = [
      serve(Array.from({ length: 101 }, (_, i) => ({ ...KEY, kid: String(i) }))),
      serve([{ ...KEY, d: 'secret' }]),
      serve([{ kty: 'oct', k: 'secret', kid: 'a' }]),
      (_, response) => response.end('<html>'),
      (_, response) => response.end('{"keys":7}'),
      (_, response) => response.writeHead(301, { location: '/other' }).end(),
      (_, response) => response.writeHead(307, { location: 'http://169.254.169.254/' }).end(),
      (_, response) => response.writeHead(500).end(),
      (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('{"keys":[]}')),
      (_, response) => {
        response.writeHead(200);
        const more = (): void => {
          for (let going = true; going && !response.destroyed;)
            going = response.write(Buffer.alloc(1 << 16, ' '));
        };
        response.on('drain', more);
        more();
      },
      (request) => request.socket.destroy(),
    ];
    for (const [i, one] of cases.entries()) {
      answer = one;
      await assert.rejects(source().keysOf(url, 'a'), { code: 'unavailable' }, `case ${i}`);
    }
  });

  it('are waited for 5 s at most, however slowly they come', async function () {
    this.timeout(60_000);
    let drip: NodeJS.Timeout | undefined;
    answer = (_, response) => {
      response.writeHead(200);
      drip = setInterval(() => response.write(' '), 100);
    };
    const begun = Date.now();
    await assert.rejects(source().keysOf(url, 'a'), { code: 'unavailable' });
    clearInterval(drip);
    assert(Date.now() - begun < 30_000, 'it does not wait forever');
  });

  it('are fetched from public addresses only, unless the operator trusts the host', async () => {
    for (const address of [
      ...[
        '127.0.0.1',
        '10.1.2.3',
        '169.254.169.254',
        '172.16.0.1',
        '192.168.1.1',
        '100.64.0.1',
        '0.0.0.0',
        '224.0.0.1',
      ],
      ...[
        '::1',
        '::',
        'fd00::1',
        'fe80::1',
        '::ffff:127.0.0.1',
        '::ffff:10.0.0.1',
        '64:ff9b::a00:1',
        'ff02::1',
      ],
    ])
      assert(isPrivateAddress(address), address);
    for (const address of ['93.184.216.34', '2606:2800:220:1:248:1893:25c8:1946'])
      assert(!isPrivateAddress(address));
    const { port } = server.address() as AddressInfo;
    for (const forbidden of [
      url,
      `http://127.0.0.1:${port}/`,
      ...[
        'https://127.0.0.1/',
        'https://2130706433/',
        'https://0x7f.1/',
        'https://[::1]/',
        'https://[::ffff:7f00:1]/',
      ],
      ...['https://user:word@example.org/', 'file:///etc/passwd', 'https://localhost/', 'ftp://example.org/'],
    ])
      await assert.rejects(fetchDocument(forbidden, []), { code: 'unavailable' }, forbidden);
    assert.equal(asked, 0, 'none of them was asked');
    await assert.rejects(fetchDocument('http://example.org/jwks', ['example.org']), /it is not https/);
  });
});
