import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { Connection } from '../../../../src/log/kafka/wire/connection.ts';
import type { Call } from '../../../../src/log/kafka/wire/protocol.ts';
import { WireWriter } from '../../../../src/log/kafka/wire/bytes.ts';

const echo = (text: Buffer): Call<string> => ({
  name: 'Echo',
  key: 99,
  version: 1,
  write: (to) => to.bytes(text),
  read: (from) => from.bytes().toString('latin1'),
});

/** An answer to the n-th call, as it goes over the wire. */
function answer(correlation: number, text: Buffer): Buffer {
  return Buffer.concat(new WireWriter().int32(correlation).bytes(text).framed());
}

describe('a connection to a broker', () => {
  let server: Server;
  let connection: Connection;
  let socket: Socket;

  beforeEach(async () => {
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const { port } = server.address() as AddressInfo;
    connection = new Connection(`127.0.0.1:${port}`, { clientId: 'test' });
    await connection.ready;
    [socket] = await accepted;
  });

  afterEach(() => {
    connection.close();
    server.close();
  });

  it('understands answers however they are cut up', async () => {
    const texts = [Buffer.alloc(0), Buffer.from('short'), Buffer.alloc(300_000, 'long')];
    const answered = Promise.all(texts.map((text) => connection.send(echo(text))));
    const all = Buffer.concat(texts.map((text, i) => answer(i + 1, text)));
    for (const end of [1, 3, 9, 10, 30, all.length]) {
      const from = end === 1 ? 0 : ([1, 3, 9, 10, 30].findLast((at) => at < end) ?? 0);
      socket.write(all.subarray(from, end));
      await new Promise(setImmediate);
    }
    assert.deepEqual(
      await answered,
      texts.map((text) => text.toString('latin1')),
    );
  });

  it('sends a request in one frame, large parts uncopied', async () => {
    const sent = connection.send(echo(Buffer.alloc(200_000, 1)));
    const received: Buffer[] = [];
    for await (const chunk of socket) {
      received.push(chunk as Buffer);
      if (Buffer.concat(received).length === 4 + 14 + 4 + 200_000) break;
    }
    const frame = Buffer.concat(received);
    assert.equal(frame.readInt32BE(0), frame.length - 4);
    assert.deepEqual([frame.readInt16BE(4), frame.readInt16BE(6), frame.readInt32BE(8)], [99, 1, 1]);
    assert.equal(frame.toString('latin1', 14, 18), 'test');
    connection.close();
    await assert.rejects(sent, /the connection was closed/);
  });

  it('ends, and fails what waits, when the broker hangs up', async () => {
    const waiting = [connection.send(echo(Buffer.from('a'))), connection.send(echo(Buffer.from('b')))];
    socket.destroy();
    for (const sent of waiting) await assert.rejects(sent, /closed the connection|ECONNRESET/);
    assert.equal(connection.usable, false);
    await assert.rejects(connection.send(echo(Buffer.from('c'))), /closed|ECONNRESET/);
  });

  it('ends at an answer out of order', async () => {
    const sent = connection.send(echo(Buffer.from('a')));
    socket.write(answer(7, Buffer.from('a')));
    await assert.rejects(sent, /out of order/);
  });

  it('ends when what answers is not Kafka', async () => {
    const sent = connection.send(echo(Buffer.from('a')));
    socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    await assert.rejects(sent, /not Kafka/);
  });
});
