import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import kafkajs from 'kafkajs';
import { HeadwaterError } from '../../../src/base/errors.ts';
import { createKafka, errorTypes, kafkaError } from '../../../src/log/kafka/kafka-client.ts';

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

function protocolError(type: string): Error {
  return Object.assign(new Error(`${type} happened`), {
    name: 'KafkaJSProtocolError',
    type,
    retriable: false,
  });
}

describe('kafkaError', () => {
  const codes: readonly [string, string][] = [
    ['INVALID_PRODUCER_EPOCH', 'fenced'],
    ['MESSAGE_TOO_LARGE', 'limit'],
    ['TOPIC_AUTHORIZATION_FAILED', 'bad-config'],
    ['NOT_LEADER_FOR_PARTITION', 'unavailable'],
  ];
  for (const [type, code] of codes) {
    it(`calls ${type} ${code}, however deep it is`, () => {
      const error = new Error('retries exceeded', { cause: new Error('no', { cause: protocolError(type) }) });
      assert.deepEqual(errorTypes(error), [type]);
      assert.equal(kafkaError(error, 'testing').code, code);
    });
  }

  it('knows the code of a fenced producer that kafkajs does not', () => {
    assert.equal(kafkaError(new Error('Unknown error code 90'), 'testing').code, 'fenced');
  });

  it('leaves an error of this project alone', () => {
    const error = new HeadwaterError('limit', 'too much');
    assert.equal(kafkaError(error, 'testing'), error);
  });
});

describe('createKafka', () => {
  it('makes clients that set no timers on an idle connection and cause no warnings', async () => {
    // Answers any request with an empty body of the right correlation id: enough for the request queue to go idle.
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('data', (request) => {
        const answer = Buffer.alloc(8);
        answer.writeInt32BE(4, 0);
        request.copy(answer, 4, 8, 12);
        socket.write(answer);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const warnings: string[] = [];
    const note = (warning: Error): void => void warnings.push(warning.name);
    process.on('warning', note);
    const { port } = server.address() as AddressInfo;
    const admin = createKafka({ brokers: [`127.0.0.1:${port}`], clientId: 'test' }, silent).admin({
      retry: { retries: 0 },
    });
    await assert.rejects(admin.connect());
    await new Promise((resolve) => setTimeout(resolve, 50)); // time in which a timer would have fired fifty times
    const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    await admin.disconnect();
    for (const socket of sockets) socket.destroy();
    server.close();
    process.off('warning', note);
    assert.deepEqual(warnings, []);
    assert.ok(timers <= 2, `${timers} timers`);
  });

  it('is kafkajs 2.2.4, whose request queue is mended by name', () => {
    assert.equal(typeof kafkajs.Kafka, 'function');
  });
});
