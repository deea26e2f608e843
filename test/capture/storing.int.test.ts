import assert from 'node:assert/strict';
import { Supervisor } from '../../src/base/service.ts';
import { LogSender } from '../../src/capture/log-sender.ts';
import { CaptureAppender } from '../../src/log/kafka/append/capture-appender.ts';
import { createKafka } from '../../src/log/kafka/kafka-client.ts';
import { Brokers } from '../support/brokers.ts';
import { until } from '../support/until.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

describe('capture whose records Kafka does not store', function () {
  this.timeout(400_000);
  let brokers: Brokers;

  before(async () => {
    brokers = await Brokers.start();
  });

  after(() => brokers?.stop());

  it('is not ready while in-sync replicas are missing, and ready when they are back', async () => {
    const { addresses } = brokers;
    const admin = createKafka({ brokers: addresses, clientId: 'test' }, quiet).admin();
    await admin.connect();
    const topic = 'durable';
    const configEntries = [{ name: 'min.insync.replicas', value: '3' }];
    await admin.createTopics({
      topics: [{ topic, numPartitions: 1, replicationFactor: 3, configEntries }],
      waitForLeaders: false,
    });
    await admin.disconnect();
    const log = await CaptureAppender.open(
      { brokers: addresses, clientId: 'test', patienceMs: 300_000 },
      'writer',
    );
    log.declare(topic, [0]);
    await brokers.end(3, 'SIGKILL');

    const stop = new AbortController();
    const supervisor = new Supervisor('capture', quiet, (health) => ({
      name: 'capture',
      run: async (signal) => {
        const sender = new LogSender(log, health);
        log.add(topic, { timestamp: Date.now(), key: Buffer.from('k'), value: Buffer.from('v') });
        await sender.flush();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    }));
    const running = supervisor.run(stop.signal);
    await until('it to wait', () => supervisor.health.state === 'waiting');
    assert.match(supervisor.health.reason ?? '', /Kafka has not stored within 5 s what capture sent/);
    await brokers.run(3);
    await until('it to be ready', () => supervisor.health.state === 'running', { timeoutMs: 200_000 });
    stop.abort();
    await running;
    await log.close();
  });
});
