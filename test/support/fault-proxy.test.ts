import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { FaultProxy } from './fault-proxy.ts';

describe('fault proxy', () => {
  const large = randomBytes(1_000_000);
  let server: Server;
  let proxy: FaultProxy;
  /** Requests that reached the server. */
  let reached: number;

  beforeEach(async () => {
    reached = 0;
    server = createServer((incoming, answer) => {
      reached++;
      void buffer(incoming).then(
        (body) => {
          answer.writeHead(200, { host: incoming.headers.host, location: `${address()}/next` });
          answer.end(incoming.method === 'GET' ? large : body);
        },
        () => undefined,
      );
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    proxy = await FaultProxy.listen(address());
  });

  afterEach(async () => {
    await proxy.close();
    server.close();
    server.closeAllConnections();
  });

  const address = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const get = (): Promise<Response> => fetch(`${proxy.url}/a?b=c`);
  const read = async (answer: Response | Promise<Response>): Promise<Buffer> =>
    Buffer.from(await (await answer).arrayBuffer());
  const put = (body: Buffer): Promise<Response> =>
    fetch(proxy.url, { method: 'PUT', body: new Uint8Array(body) });

  it('passes bodies and the Host on, and names itself where the server names itself', async () => {
    assert.ok((await read(get())).equals(large));
    const answer = await put(large);
    assert.equal(answer.headers.get('host'), new URL(proxy.url).host);
    assert.equal(answer.headers.get('location'), `${proxy.url}/next`);
    assert.ok((await read(answer)).equals(large));
  });

  it('gives the server its own Host when a test asks for it', async () => {
    const other = await FaultProxy.listen(address(), { replacesHost: true });
    const answer = await fetch(other.url, { method: 'PUT' });
    assert.equal(`http://${answer.headers.get('host') ?? ''}`, address());
    await answer.text();
    await other.close();
  });

  it('answers a number of requests itself, and then passes them on', async () => {
    const headers = { 'retry-after': '1' };
    const fault = proxy.inject({ type: 'answer', status: 503, headers }, { times: 2 });
    const answers = [await put(large), await get(), await get()];
    assert.deepEqual(
      answers.map(({ status, headers }) => [status, headers.get('retry-after')]),
      [
        [503, '1'],
        [503, '1'],
        [200, null],
      ],
    );
    assert.deepEqual([fault.hits, reached], [2, 1]);
    await Promise.all(answers.map(read));
  });

  it('answers requests itself for a time', async () => {
    const fault = proxy.inject({ type: 'answer', status: 429 }, { forMs: 200 });
    assert.equal((await get()).status, 429);
    await once(fault.ended, 'abort');
    assert.ok((await read(get())).equals(large));
  });

  it('hits only the requests that a test chooses, by the first fault that applies', async () => {
    proxy.inject({ type: 'answer', status: 503 }, { only: ({ method }) => method === 'PUT' });
    proxy.inject({ type: 'answer', status: 429 }, { times: 1 });
    const statuses = [];
    for (const answer of [await put(large), await get(), await get()]) {
      statuses.push(answer.status);
      await answer.arrayBuffer();
    }
    assert.deepEqual(statuses, [503, 429, 200]);
  });

  it('resets connections', async () => {
    proxy.inject({ type: 'reset' }, { times: 1 });
    await assert.rejects(get(), isReset);
    assert.equal(reached, 0);
    assert.ok((await read(get())).equals(large));
  });

  it('delays requests by a time, or until the fault ends', async () => {
    const begin = performance.now();
    proxy.inject({ type: 'delay', ms: 300 }, { times: 1 });
    await read(get());
    assert.ok(performance.now() - begin > 290);
    const fault = proxy.inject({ type: 'delay' });
    const answer = get();
    await assert.rejects(fetch(proxy.url, { signal: AbortSignal.timeout(200) }));
    assert.deepEqual([fault.hits, reached], [2, 1]);
    fault.end();
    assert.ok((await read(answer)).equals(large));
  });

  it('cuts an upload after a number of bytes of all requests', async () => {
    const fault = proxy.inject({ type: 'cut-upload', afterBytes: 1_500_000 }, { times: 1 });
    assert.equal((await read(put(large))).length, 1_000_000);
    await assert.rejects(put(large), isReset);
    assert.equal(fault.hits, 1);
    for (let i = 0; i < 3; i++) assert.equal((await read(put(large))).length, 1_000_000);
  });

  it('cuts a download, which the client does not take for a whole one', async () => {
    proxy.inject({ type: 'cut-download', afterBytes: 300_000 }, { times: 1 });
    const answer = await get();
    assert.equal(answer.status, 200);
    await assert.rejects(read(answer));
    assert.ok((await read(get())).equals(large));
  });

  it('refuses connections until it connects again at the same address', async () => {
    const { url } = proxy;
    await proxy.disconnect();
    await assert.rejects(get(), ({ cause }: Error) => (cause as { code?: string }).code === 'ECONNREFUSED');
    await proxy.connect();
    assert.equal(proxy.url, url);
    assert.ok((await read(get())).equals(large));
  });

  it('resets the connection when the server is gone', async () => {
    server.close();
    server.closeAllConnections();
    await assert.rejects(get(), isReset);
  });
});

const isReset = ({ cause }: Error): boolean =>
  ['ECONNRESET', 'UND_ERR_SOCKET', 'EPIPE'].includes((cause as { code?: string }).code ?? '');
