import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { HeadwaterError } from '../../src/base/errors.ts';
import type { GatewayContext } from '../../src/http/gateway-context.ts';
import { EVERYTHING } from '../../src/events/request.ts';
import { fileUrl } from '../../src/http/file-url.ts';
import type { FsStore } from '../../src/storage/fs-store.ts';
import { assertOutcome, runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

const SECRET = 'a secret of more than 32 characters';
const BODY = Array.from(
  { length: 2_000 },
  (_, i) => `{"resourceType":"Patient","id":"p${String(i)}"}\n`,
).join('');
const KEY = 'folder/Patient-0001-1.ndjson';

async function put(store: FsStore, key: string, bytes: Uint8Array): Promise<void> {
  const writer = await store.create(key);
  await writer.write(bytes);
  await writer.finish();
}

/** Without the decompression that fetch does by itself. */
async function raw(
  url: string,
  headers: Record<string, string>,
): Promise<{ response: IncomingMessage; body: Buffer }> {
  const response = await new Promise<IncomingMessage>((resolve, reject) =>
    get(url, { headers }, resolve).on('error', reject),
  );
  return { response, body: await buffer(response) };
}

describe('export file', () => {
  let gateway: RunningGateway;
  let url: string;
  const sign = (key: string, expires = Date.now() + 60_000, urlSecret = SECRET): string =>
    fileUrl({ publicUrl: gateway.url, urlSecret }, key, expires);

  beforeEach(async () => {
    gateway = await runGateway({ urlSecret: SECRET });
    await put(gateway.store, KEY, Buffer.from(BODY));
    url = sign(KEY);
  });
  afterEach(() => gateway.stop());

  it('is served whole, as it is stored', async () => {
    const response = await gateway.ask(url);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'application/fhir+ndjson');
    assert.equal(response.headers.get('content-length'), String(BODY.length));
    assert.equal(response.headers.get('accept-ranges'), 'bytes');
    assert.equal(await response.text(), BODY);
  });

  it('is served out of a container, by the URL of its manifest; five at a time, and again', async () => {
    const key = `research/${KEY}`;
    await put(gateway.store, key, Buffer.from(BODY));
    for (let round = 0; round < 2; round++) {
      const answers = await Promise.all(Array.from({ length: 5 }, () => gateway.ask(sign(key))));
      for (const answer of answers) assert.equal(await answer.text(), BODY);
    }
    const another = sign(key).replace('research/', 'another/');
    await assertOutcome(await gateway.ask(another), 404, /no such file/);
  });

  it('has the same headers and no body for HEAD', async () => {
    const response = await gateway.ask(url, { method: 'HEAD' });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-length'), String(BODY.length));
    assert.equal(response.headers.get('content-type'), 'application/fhir+ndjson');
    assert.equal(await response.text(), '');
  });

  it('is answered with an outcome that every client can read when it cannot be opened', async () => {
    gateway.store.read = () => Promise.reject(new Error('disk'));
    for (const more of [{}, { range: 'bytes=2-9' }]) {
      const { response, body } = await raw(url, { 'accept-encoding': 'gzip', ...more });
      assert.equal(response.statusCode, 500);
      assert.equal(response.headers['content-encoding'], undefined);
      assert.equal(response.headers['content-range'], undefined);
      assert.match(body.toString(), /OperationOutcome/);
    }
  });

  it('has no ranges for HEAD, and none for who has the file already', async () => {
    const head = await gateway.ask(url, { method: 'HEAD', headers: { range: 'bytes=2-9' } });
    assert.equal(head.status, 200);
    assert.equal(head.headers.get('content-length'), String(BODY.length));
    const etag = head.headers.get('etag') ?? '';
    const range = `bytes=${String(BODY.length)}-`;
    const same = await gateway.ask(url, { headers: { range, 'if-none-match': etag } });
    assert.equal(same.status, 304);
    assert.equal((await gateway.ask(url, { headers: { range } })).status, 416);
  });

  it('has a name, a time and a tag, by which a client asks again only for what it lacks', async () => {
    const first = await gateway.ask(url);
    const etag = first.headers.get('etag') ?? '';
    const modified = first.headers.get('last-modified') ?? '';
    assert.match(etag, /^"[\w-]{22}"$/);
    assert.equal(first.headers.get('content-disposition'), 'attachment; filename="Patient-0001-1.ndjson"');
    for (const method of ['GET', 'HEAD'])
      for (const headers of [{ 'if-none-match': etag }, { 'if-modified-since': modified }]) {
        const same = await gateway.ask(url, { method, headers });
        assert.equal(same.status, 304);
        assert.equal(same.headers.get('etag'), etag);
        assert.equal(await same.text(), '');
      }
    const part = (ifRange: string): Promise<Response> =>
      gateway.ask(url, { headers: { range: 'bytes=2-9', 'if-range': ifRange } });
    for (const ifRange of [etag, modified]) {
      const answer = await part(ifRange);
      assert.equal(answer.status, 206);
      assert.equal(await answer.text(), BODY.slice(2, 10));
    }
    for (const ifRange of ['"another"', `W/${etag}`, 'Thu, 01 Jan 1970 00:00:00 GMT']) {
      const answer = await part(ifRange);
      assert.equal(answer.status, 200);
      assert.equal(await answer.text(), BODY);
    }
    const { response } = await raw(url, { 'accept-encoding': 'gzip' });
    assert.notEqual(response.headers.etag, etag);
    const packed = await raw(url, {
      'accept-encoding': 'gzip',
      'if-none-match': response.headers.etag ?? '',
    });
    assert.equal(packed.response.statusCode, 304);
  });

  it('is compressed on the way when the client accepts gzip', async () => {
    for (const accept of ['gzip', 'deflate, gzip;q=0.5, br']) {
      const { response, body } = await raw(url, { 'accept-encoding': accept });
      assert.equal(response.headers['content-encoding'], 'gzip');
      assert.equal(response.headers['content-type'], 'application/fhir+ndjson');
      assert.match(response.headers.vary ?? '', /accept-encoding/i);
      assert.ok(body.length < BODY.length / 5);
      assert.equal(gunzipSync(body).toString(), BODY);
    }
    for (const accept of ['identity', 'gzip;q=0', 'br']) {
      const { response, body } = await raw(url, { 'accept-encoding': accept });
      assert.equal(response.headers['content-encoding'], undefined, accept);
      assert.equal(body.toString(), BODY);
    }
  });

  it('that is stored compressed is served as it is, without a Content-Encoding', async () => {
    const bytes = randomBytes(1_000);
    await put(gateway.store, 'folder/x.ndjson.gz', bytes);
    const { response, body } = await raw(sign('folder/x.ndjson.gz'), { 'accept-encoding': 'gzip' });
    assert.equal(response.headers['content-type'], 'application/fhir+ndjson+gzip');
    assert.equal(response.headers['content-encoding'], undefined);
    assert.ok(body.equals(bytes));
  });

  const size = BODY.length;
  const ranges: readonly (readonly [string, number, number])[] = [
    ['bytes=0-0', 0, 1],
    ['bytes=10-99', 10, 100],
    [`bytes=${String(size - 5)}-`, size - 5, size],
    ['bytes=-7', size - 7, size],
    [`bytes=5-${String(size * 2)}`, 5, size],
  ];
  for (const [range, from, to] of ranges) {
    it(`answers 206 to Range: ${range}, uncompressed`, async () => {
      const { response, body } = await raw(url, { range, 'accept-encoding': 'gzip' });
      assert.equal(response.statusCode, 206);
      assert.equal(
        response.headers['content-range'],
        `bytes ${String(from)}-${String(to - 1)}/${String(size)}`,
      );
      assert.equal(response.headers['content-encoding'], undefined);
      assert.equal(body.toString(), BODY.slice(from, to));
    });
  }
  for (const range of [`bytes=${String(size)}-`, 'bytes=9999999-']) {
    it(`answers 416 to Range: ${range}`, async () => {
      const response = await gateway.ask(url, { headers: { range } });
      assert.equal(response.headers.get('content-range'), `bytes */${String(size)}`);
      assert.equal(
        response.headers.get('content-length'),
        String(Buffer.byteLength(await response.clone().text())),
      );
      await assertOutcome(response, 416, /Range/);
    });
  }
  for (const headers of [
    { range: 'bytes=0-1,4-5' },
    { range: 'lines=0-1' },
    { range: 'nonsense' },
    { range: 'bytes=0-1', 'if-range': '"x"' },
  ]) {
    it(`answers with the whole to ${JSON.stringify(headers)}`, async () => {
      const response = await gateway.ask(url, { headers });
      assert.equal(response.status, 200);
      assert.equal(await response.text(), BODY);
    });
  }

  it('needs a URL that was signed here, for it, and is unchanged', async () => {
    const expires = String(Math.floor(Date.now() / 1000) + 60);
    const wrong = [
      url.replace(/signature=.*/, ''),
      url.replace(/signature=./, (text) => text.slice(0, -1) + (text.endsWith('A') ? 'B' : 'A')),
      url.replace(/expires=\d+/, (text) => `${text}0`),
      url.replace('0001-1', '0001-2'),
      `${gateway.url}/fhir/$export-file/${KEY}`,
      `${gateway.url}/fhir/$export-file/${KEY}?expires=${expires}&signature=`,
      sign(KEY, Date.now() + 60_000, 'another secret of more than 32 characters'),
    ];
    for (const each of wrong) await assertOutcome(await gateway.ask(each), 404, /no such file/);
  });

  it('is not served after the URL has expired', async () => {
    gateway.time.ahead = 61_000;
    await assertOutcome(await gateway.ask(url), 404, /expired/);
  });

  it('cannot be named outside of the store, even with a signature', async () => {
    for (const key of ['folder/..%2f..%2fpasswd', '..%2f../x', 'folder/.hidden']) {
      const signed = sign(decodeURIComponent(key)).replace(decodeURIComponent(key), key);
      assert.ok([400, 404].includes((await gateway.ask(signed)).status), key);
    }
  });

  it('is 404 once it has been removed', async () => {
    await gateway.store.deletePrefix('folder/');
    await assertOutcome(await gateway.ask(url), 404, /removed/);
  });

  it('never leaves its signature in the log', async () => {
    const context: Pick<GatewayContext, 'store'> = { store: gateway.store };
    context.store.head = () => Promise.reject(new Error('disk'));
    await assertOutcome(await gateway.ask(url), 500, /log/);
    assert.equal(gateway.logged.length, 1);
    assert.ok(!gateway.logged.join().includes(new URL(url).searchParams.get('signature') ?? ''));
  });

  it('streams a large file with bounded memory, compressed or not', async function () {
    this.timeout(60_000);
    const writer = await gateway.store.create('folder/large.ndjson');
    const chunk = Buffer.concat([randomBytes(1 << 16), Buffer.alloc(1 << 20, 'x')]);
    const hash = createHash('sha256');
    for (let i = 0; i < 150; i++) {
      hash.update(chunk);
      await writer.write(chunk);
    }
    await writer.finish();
    const expected = hash.digest('hex');
    for (const encoding of ['identity', 'gzip']) {
      const before = process.memoryUsage().rss;
      let peak = before;
      const response = await gateway.ask(sign('folder/large.ndjson'), {
        headers: { 'accept-encoding': encoding },
      });
      assert.equal(response.headers.get('content-encoding'), encoding === 'gzip' ? 'gzip' : null);
      const read = createHash('sha256');
      for await (const piece of response.body ?? []) {
        read.update(piece as Uint8Array);
        peak = Math.max(peak, process.memoryUsage().rss);
      }
      assert.equal(read.digest('hex'), expected);
      assert.ok(peak - before < 120 << 20, `grew by ${String((peak - before) >> 20)} MiB`);
    }
  });

  it('is sent only when the audit log has the download, in whole or in part', async () => {
    await put(gateway.store, 'folder/audited.ndjson', Buffer.from(BODY));
    gateway.audited.length = 0;
    gateway.auditFailure.error = new HeadwaterError('unavailable', 'PostgreSQL is away');
    const refused = await gateway.ask(sign('folder/audited.ndjson'));
    await assertOutcome(refused, 503, /PostgreSQL|try again|away/);
    gateway.auditFailure.error = undefined;
    assert.equal(await (await gateway.ask(sign('folder/audited.ndjson'))).text(), BODY);
    await gateway.ask(sign('folder/audited.ndjson'), { headers: { range: 'bytes=1-3' } });
    await gateway.ask(sign('folder/audited.ndjson'), { method: 'HEAD' });
    assert.deepEqual(
      gateway.audited.map(({ kind, details }) => [kind, ...(details ?? [])]),
      [
        ['file.downloaded', ['file', 'folder/audited.ndjson']],
        ['file.downloaded', ['file', 'folder/audited.ndjson'], ['bytes', '1-3']],
      ],
    );
  });

  it('cannot be fetched any more once its export is cancelled, though it is still there', async () => {
    const jobId = await gateway.jobs.submit({
      clientId: 'me',
      requestUrl: 'http://x',
      parameters: EVERYTHING,
    });
    const key = `research/20250304T050607Z_${jobId}/Patient-0001-1.ndjson`;
    await put(gateway.store, key, Buffer.from(BODY));
    assert.equal((await gateway.ask(sign(key))).status, 200);
    await gateway.jobs.cancel(jobId, 'me');
    for (const method of ['GET', 'HEAD'])
      assert.equal((await gateway.ask(sign(key), { method })).status, 404);
    await assertOutcome(await gateway.ask(sign(key)), 404, /removed/);
  });

  it('may stand in a folder that its layout adds', async () => {
    const jobId = await gateway.jobs.submit({
      clientId: 'me',
      requestUrl: 'http://x',
      parameters: EVERYTHING,
    });
    for (const folder of [`20250304T050607Z_${jobId}`, `research/20250304T050607Z_${jobId}`]) {
      const key = `${folder}/_deleted/type=Patient/deleted-Patient-000100001.ndjson`;
      await put(gateway.store, key, Buffer.from(BODY));
      assert.equal(await (await gateway.ask(sign(key))).text(), BODY);
    }
    await gateway.jobs.cancel(jobId, 'me');
    const key = `20250304T050607Z_${jobId}/_deleted/type=Patient/deleted-Patient-000100001.ndjson`;
    assert.equal((await gateway.ask(sign(key))).status, 404);
  });

  it('comes to its end when it is removed while it is downloaded', async () => {
    const bytes = randomBytes(64 << 20); // more than lies in buffers on the way
    await put(gateway.store, 'folder/removed.ndjson', bytes);
    const response = await gateway.ask(sign('folder/removed.ndjson'));
    await gateway.store.deletePrefix('folder/');
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(bytes));
    await assertOutcome(await gateway.ask(sign('folder/removed.ndjson')), 404, /removed/);
  });

  it('is cut, not ended, when it cannot be read to its end', async () => {
    const writer = await gateway.store.create('folder/short.ndjson');
    await writer.write(Buffer.alloc(8 << 20, 'x'));
    await writer.finish();
    const { head, read } = gateway.store;
    gateway.store.head = head.bind(gateway.store);
    gateway.store.read = async (key, range) => {
      const stream = await read.call(gateway.store, key, range);
      stream.once('data', () => stream.destroy(new Error('disk failed')));
      stream.pause();
      return stream;
    };
    await assert.rejects(raw(sign('folder/short.ndjson'), { 'accept-encoding': 'identity' }), {
      code: 'ECONNRESET',
    });
    await assert.rejects(raw(sign('folder/short.ndjson'), { 'accept-encoding': 'gzip' }), {
      code: 'ECONNRESET',
    });
    assert.ok(gateway.logged.some((line) => line.includes('disk failed')));
  });
});
