import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import kafkajs from 'kafkajs';
import type { Admin } from 'kafkajs';
import { HeadwaterError } from '../../../../src/base/errors.ts';
import { offset } from '../../../../src/base/positions.ts';
import { CaptureAppender } from '../../../../src/log/kafka/append/capture-appender.ts';
import { Cluster } from '../../../../src/log/kafka/wire/cluster.ts';
import type { ClusterOptions } from '../../../../src/log/kafka/wire/cluster.ts';
import { ExclusiveCommitter } from '../../../../src/log/kafka/queue/exclusive-committer.ts';
import { createKafka } from '../../../../src/log/kafka/kafka-client.ts';
import { kafkaError } from '../../../../src/log/kafka/wire/kafka-error.ts';
import { KafkaPublisher } from '../../../../src/log/kafka/append/publisher.ts';
import { RangeReader } from '../../../../src/log/kafka/read/range-reader.ts';
import type { SaslOptions } from '../../../../src/log/kafka/wire/sasl.ts';
import { transactionalAppenders } from '../../../../src/log/kafka/append/transactional-appender.ts';
import { Brokers } from '../../../support/brokers.ts';
import { uniqueName } from '../../../support/names.ts';

const LOGIN_LIFE = 5_000;
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

describe('brokers that ask for a login', function () {
  this.timeout(240_000);
  let brokers: Brokers;
  let admin: Admin;

  before(async () => {
    brokers = await Brokers.start({
      security: {
        users: [
          { name: 'alice', password: 'secret-of-alice' },
          { name: 'nobody', password: 'secret-of-nobody' },
        ],
        maxReauthMs: LOGIN_LIFE,
        authorize: true,
      },
    });
    admin = createKafka({ brokers: brokers.addresses, clientId: 'test' }, quiet).admin();
    await admin.connect();
    const all = { principal: 'User:alice', host: '*', permissionType: AclPermissionTypes.ALLOW };
    const kinds = [AclResourceTypes.TOPIC, AclResourceTypes.GROUP, AclResourceTypes.TRANSACTIONAL_ID];
    await admin.createAcls({
      acl: kinds.map((resourceType) => ({
        ...all,
        resourceType,
        resourceName: '*',
        resourcePatternType: ResourcePatternTypes.LITERAL,
        operation: AclOperationTypes.ALL,
      })),
    });
  });
  after(async () => {
    await admin?.disconnect();
    await brokers?.stop();
  });

  function as(
    username: string,
    {
      mechanism = 'PLAIN',
      tls = false,
      password = `secret-of-${username}`,
    }: Partial<SaslOptions> & { tls?: boolean } = {},
  ): ClusterOptions {
    return {
      brokers: brokers.loginAddresses[tls ? 'tls' : 'plain'],
      clientId: 'test',
      patienceMs: 10_000,
      connection: {
        sasl: { mechanism, username, password },
        ...(tls && { tls: { ca: readFileSync(brokers.certificate ?? '') } }),
      },
    };
  }

  async function newTopic(): Promise<string> {
    const topic = uniqueName('login');
    await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor: 3 }] });
    const cluster = new Cluster({ brokers: brokers.addresses, clientId: 'test' });
    while (!(await cluster.partitions(topic))) cluster.forget();
    cluster.close();
    return topic;
  }

  const record = (topic: string) => ({ topic, partition: 0, key: 'k', value: Buffer.from('v') });

  for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const) {
    for (const tls of [false, true]) {
      it(`take ${mechanism}${tls ? ' over TLS' : ''} and store what is written`, async () => {
        const topic = await newTopic();
        const options = as('alice', { mechanism, tls });
        const appender = await transactionalAppenders(options)(uniqueName('appender'));
        await appender.append([record(topic)]);
        await appender.close();
        const reader = new RangeReader(options);
        const found: string[] = [];
        const range = { topic, partition: 0, from: offset(0), to: offset(1) };
        for await (const records of reader.read(range, AbortSignal.timeout(60_000)))
          found.push(...records.map(({ key }) => key.toString()));
        await reader.close();
        assert.deepEqual(found, ['k']);
      });
    }
  }

  it('are logged in to again and again, and no connection is left behind', async () => {
    const topic = await newTopic();
    const options = as('alice', { mechanism: 'SCRAM-SHA-256', tls: true });
    const reader = new RangeReader(options);
    const publisher = new KafkaPublisher(options);
    await publisher.append([record(topic)]);
    await reader.ends(topic);
    const before = sockets();
    const begun = performance.now();
    let most = 0;
    while (performance.now() - begun < 3 * LOGIN_LIFE) {
      await Promise.all([publisher.append([record(topic)]), reader.ends(topic), reader.topics([topic])]);
      most = Math.max(most, sockets());
    }
    await Promise.all([reader.close(), publisher.close()]);
    // A connection that is replaced may still be closing.
    assert.ok(most <= before + 2 * brokers.addresses.length, `${before} sockets became ${most}`);
  });

  it('are logged in to again by kafkajs without a connection left behind', async () => {
    const topic = await newTopic();
    const kafka = createKafka(
      {
        brokers: brokers.loginAddresses.plain,
        clientId: 'test',
        sasl: { mechanism: 'plain', username: 'alice', password: 'secret-of-alice' },
      },
      quiet,
    );
    const consumer = kafka.consumer({ groupId: uniqueName('group'), maxWaitTimeInMs: 100 });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    let handled = 0;
    await consumer.run({
      eachMessage: () => {
        handled++;
        return Promise.resolve();
      },
    });
    const publisher = new KafkaPublisher({ brokers: brokers.addresses, clientId: 'test' });
    while (handled === 0) await publisher.append([record(topic)]);
    const before = sockets();
    const begun = performance.now();
    let sent = 0;
    let most = 0;
    while (performance.now() - begun < 3 * LOGIN_LIFE) {
      await publisher.append([record(topic)]);
      sent++;
      most = Math.max(most, sockets());
    }
    while (handled < sent) await new Promise(setImmediate);
    await Promise.all([consumer.disconnect(), publisher.close()]);
    assert.ok(most <= before + brokers.addresses.length, `${before} sockets became ${most}`);
  });

  it('refuse a wrong password by name, in every kind of connection', async () => {
    for (const mechanism of ['PLAIN', 'SCRAM-SHA-512'] as const) {
      const options = as('alice', { mechanism, password: 'wrong' });
      const reader = new RangeReader(options);
      await rejects(reader.ends('any'), 'refused', /HEADWATER_KAFKA_SASL_PASSWORD/);
      await reader.close();
      await rejects(transactionalAppenders(options)('any'), 'refused', /HEADWATER_KAFKA_SASL_PASSWORD/);
    }
    const kafka = createKafka(
      {
        brokers: brokers.loginAddresses.plain,
        clientId: 'test',
        sasl: { mechanism: 'plain', username: 'alice', password: 'wrong' },
      },
      quiet,
    );
    const connecting = kafka.admin().connect();
    await rejects(
      connecting.catch((error: unknown) => Promise.reject(kafkaError(error, 'connecting'))),
      'refused',
      /HEADWATER_KAFKA_SASL_PASSWORD/,
    );
  });

  it('have a certificate of an authority that is not known, and the error says which setting names it', async () => {
    const options = as('alice', { tls: true });
    const sasl = options.connection?.sasl;
    const reader = new RangeReader({ ...options, connection: { tls: {}, ...(sasl && { sasl }) } });
    await rejects(reader.topics(['any']), 'unavailable', /NODE_EXTRA_CA_CERTS/);
    await reader.close();
  });

  it('refuse what no ACL allows, and the error names resource and right', async () => {
    const topic = await newTopic();
    const options = as('nobody');
    const id = uniqueName('denied');
    const reader = new RangeReader(options);
    await rejects(reader.ends(topic), 'refused', new RegExp(`Describe.*topic "${topic}"`));
    const denied = /Write on transactional id "denied/;
    await rejects(CaptureAppender.open(options, id), 'refused', denied);
    await rejects(transactionalAppenders(options)(id), 'refused', denied);
    await allow('nobody', { type: AclResourceTypes.TRANSACTIONAL_ID, name: id, right: 'ALL' });
    await allow('nobody', { type: AclResourceTypes.TOPIC, name: topic, right: 'DESCRIBE' });
    while (await reader.ends(topic).then(() => false, isRefused)); // brokers learn of rights one after the other
    const range = { topic, partition: 0, from: offset(0), to: offset(1) };
    const reading = reader.read(range, AbortSignal.timeout(60_000))[Symbol.asyncIterator]().next();
    await rejects(reading, 'refused', new RegExp(`Read.*topic "${topic}"`));
    const appender = await transactionalAppenders(options)(id);
    await rejects(appender.append([record(topic)]), 'refused', new RegExp(`Write.*topic "${topic}"`));
    await appender.close();
    const committer = { cluster: options, group: id, partition: range, transactionalId: id };
    await rejects(ExclusiveCommitter.open(committer), 'refused', new RegExp(`Read on group "${id}"`));
    await reader.close();
  });

  async function allow(
    user: string,
    of: { type: kafkajs.AclResourceTypes; name: string; right: 'ALL' | 'DESCRIBE' },
  ): Promise<void> {
    await admin.createAcls({
      acl: [
        {
          principal: `User:${user}`,
          host: '*',
          permissionType: AclPermissionTypes.ALLOW,
          resourceType: of.type,
          resourceName: of.name,
          resourcePatternType: ResourcePatternTypes.LITERAL,
          operation: AclOperationTypes[of.right],
        },
      ],
    });
  }
});

function isRefused(error: unknown): boolean {
  if (error instanceof HeadwaterError && error.code === 'refused') return true;
  throw error;
}

/** Sockets of this process. */
function sockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap' || name === 'TLSWrap')
    .length;
}

async function rejects(promise: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof HeadwaterError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
}
