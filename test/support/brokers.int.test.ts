import assert from 'node:assert/strict';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { connect } from 'node:tls';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import kafkajs from 'kafkajs';
import { headwaterDirectory } from '../../src/stack/contract.ts';
import { identityOf } from '../../src/stack/local/server-process.ts';
import { inSync, leaderOf, moveCoordinator, moveLeader } from './broker-moves.ts';
import { BROKER_IDS } from './broker-properties.ts';
import { Brokers } from './brokers.ts';

describe('three brokers of a test', function () {
  this.timeout(240_000);
  let brokers: Brokers;

  before(async () => {
    brokers = await Brokers.start({
      security: { users: [{ name: 'alice', password: 'secret-of-alice' }], authorize: true },
    });
  });

  after(() => brokers?.stop());

  it('keep what was written while one is killed, one is lost, and leaders and coordinators move', async () => {
    const kafka = client(brokers.addresses);
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: 'kept', numPartitions: 1, replicationFactor: 3 }] });
    const producer = kafka.producer({ idempotent: true, transactionalId: 'writer', maxInFlightRequests: 1 });
    await producer.connect();
    const write = async (value: string): Promise<void> => {
      const transaction = await producer.transaction();
      await transaction.send({ topic: 'kept', messages: [{ value }] });
      await transaction.commit();
    };
    await write('first');
    const leader = await leaderOf(brokers, 'kept', 0);
    const move = await moveLeader(brokers, 'kept', 0);
    assert.equal(move.from, leader);
    assert.notEqual(move.to, leader);
    const coordinator = await moveCoordinator(brokers, 'transaction', 'writer');
    assert.notEqual(coordinator.from, coordinator.to);
    await producer.disconnect();
    await admin.disconnect();
    await inSync(brokers);
    await brokers.lose(move.to);
    await brokers.run(move.to);
    await inSync(brokers);
    await brokers.restart(leader, 'SIGKILL');
    await inSync(brokers);
    assert.deepEqual(await valuesOf('kept'), ['first']);
  });

  it('let in who logs in over TLS, and give no right that no ACL gives', async () => {
    const ca = readFileSync(brokers.certificate ?? '');
    for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512'] as const) {
      const kafka = new kafkajs.Kafka({
        brokers: [...brokers.loginAddresses.tls],
        ssl: { ca },
        sasl: { mechanism, username: 'alice', password: 'secret-of-alice' } as kafkajs.SASLOptions,
        logLevel: kafkajs.logLevel.NOTHING,
        retry: { retries: 0 },
      });
      const admin = kafka.admin();
      await admin.connect();
      assert.deepEqual(await admin.listTopics(), []);
      await admin.disconnect();
    }
  });

  it('have a certificate that only their own authority vouches for', async () => {
    const [host = '', port] = (brokers.loginAddresses.tls[0] ?? '').split(':');
    const socket = connect({ host, port: Number(port) });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    assert.match(error.code ?? '', /SELF_SIGNED_CERT|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER/);
  });

  it('of a killed run are ended and removed by the next', async () => {
    const code = `
      const { Brokers } = await import(${JSON.stringify(join(import.meta.dirname, 'brokers.ts'))});
      const brokers = await Brokers.start();
      console.log(JSON.stringify([1, 2, 3].map((id) => brokers.pid(id))));
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
    const pids = JSON.parse(line) as number[];
    child.kill('SIGKILL');
    await once(child, 'close');
    assert.ok(pids.every((pid) => identityOf(pid) !== undefined));
    const folders = (): number =>
      readdirSync(headwaterDirectory).filter((name) => name.startsWith('test-brokers-')).length;
    const before = folders();
    await Brokers.sweep();
    assert.ok(pids.every((pid) => identityOf(pid) === undefined));
    assert.equal(folders(), before - 1);
    assert.ok(
      BROKER_IDS.every((id) => brokers.runs(id)),
      'those of a live run stay',
    );
    assert.ok(existsSync(brokers.certificate ?? ''));
  });

  async function valuesOf(topic: string): Promise<string[]> {
    const consumer = client(brokers.addresses).consumer({ groupId: 'reader' });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    const values: string[] = [];
    await new Promise<void>((resolve) => {
      void consumer.run({
        eachMessage: ({ message }) => {
          values.push(String(message.value));
          resolve();
          return Promise.resolve();
        },
      });
    });
    await consumer.disconnect();
    return values;
  }
});

function client(brokers: readonly string[]): kafkajs.Kafka {
  return new kafkajs.Kafka({ brokers: [...brokers], logLevel: kafkajs.logLevel.NOTHING });
}
