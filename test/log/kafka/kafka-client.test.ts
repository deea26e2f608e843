import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import kafkajs from 'kafkajs';
import { HeadwaterError } from '../../../src/base/errors.ts';
import { createKafka } from '../../../src/log/kafka/kafka-client.ts';
import { errorTypes, kafkaError } from '../../../src/log/kafka/wire/kafka-error.ts';
import { ProtocolError } from '../../../src/log/kafka/wire/protocol-error.ts';

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
    ['INVALID_TIMESTAMP', 'unsupported'],
    ['TOPIC_AUTHORIZATION_FAILED', 'refused'],
    ['SASL_AUTHENTICATION_FAILED', 'refused'],
    ['INVALID_CONFIG', 'bad-config'],
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

  const refusals: readonly [string, RegExp][] = [
    ['TOPIC_AUTHORIZATION_FAILED', /Write.* topic "t"/],
    ['GROUP_AUTHORIZATION_FAILED', /Read on group "g"/],
    ['TRANSACTIONAL_ID_AUTHORIZATION_FAILED', /Write on transactional id "x"/],
    ['CLUSTER_AUTHORIZATION_FAILED', /IdempotentWrite on the cluster/],
    ['SASL_AUTHENTICATION_FAILED', /HEADWATER_KAFKA_SASL_PASSWORD/],
    ['UNSUPPORTED_SASL_MECHANISM', /HEADWATER_KAFKA_SASL_MECHANISM/],
  ];
  for (const [type, advice] of refusals) {
    it(`names what to change after ${type}`, () => {
      const resources = { topic: 't', group: 'g', transactionalId: 'x' };
      assert.match(kafkaError(protocolError(type), 'testing', resources).message, advice);
    });
  }

  it('says of each topic of a call what happened to it', () => {
    const part = Object.assign(protocolError('TOPIC_AUTHORIZATION_FAILED'), { topic: 'hw.status' });
    const error = kafkaError(
      Object.assign(new Error('Topic creation errors'), { errors: [part] }),
      'making topics',
    );
    assert.match(error.message, /topic hw\.status: TOPIC_AUTHORIZATION_FAILED happened/);
    assert.equal(error.code, 'refused');
  });

  it('treats what a broker answers to a call of its own as it treats what kafkajs throws', () => {
    assert.equal(kafkaError(new ProtocolError('Fetch', 29), 'reading').code, 'refused');
    assert.equal(kafkaError(new ProtocolError('Fetch', 78), 'reading').code, 'unavailable');
    assert.match(kafkaError(new ProtocolError('Fetch', 78), 'reading').message, /OFFSET_NOT_AVAILABLE/);
    assert.match(new ProtocolError('AddPartitionsToTxn', 55).message, /OPERATION_NOT_ATTEMPTED/);
  });

  it('leaves an error of this project alone', () => {
    const error = new HeadwaterError('limit', 'too much');
    assert.equal(kafkaError(error, 'testing'), error);
  });
});

describe('createKafka', () => {
  it('mends the release of kafkajs that is installed', () => {
    const { version } = createRequire(import.meta.url)('kafkajs/package.json') as { version: string };
    assert.equal(version, '2.2.4', 'compare kafka-client.ts with the new release, then raise this');
  });

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
    await assert.rejects(admin.connect(), { name: 'RangeError' });
    await new Promise((resolve) => setTimeout(resolve, 50)); // time in which a timer would have fired fifty times
    const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    await admin.disconnect();
    for (const socket of sockets) socket.destroy();
    server.close();
    process.off('warning', note);
    assert.deepEqual(warnings, []);
    assert.ok(timers <= 2, `${timers} timers`);
  });

  it('makes consumers whose fetchers end when they are stopped while they are rebuilt', async () => {
    const child = fork(join(import.meta.dirname, 'queue', 'stopped-consumer.ts'));
    const [code] = (await once(child, 'exit', { signal: AbortSignal.timeout(30_000) }).finally(() =>
      child.kill('SIGKILL'),
    )) as [number | null];
    assert.equal(code, 0);
  });

  it('is kafkajs 2.2.4, whose request queue is mended by name', () => {
    assert.equal(typeof kafkajs.Kafka, 'function');
  });
});
