import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import kafkajs from 'kafkajs';
import type { Admin, Kafka } from 'kafkajs';
import { allTopics } from '../../../../topics/all.ts';
import { HeadwaterError } from '../../../../src/base/errors.ts';
import { avroType } from '../../../../src/events/avro.ts';
import { createKafka } from '../../../../src/log/kafka/kafka-client.ts';
import { KafkaPublisher } from '../../../../src/log/kafka/append/publisher.ts';
import { RangeReader } from '../../../../src/log/kafka/read/range-reader.ts';
import { SchemaRegistry } from '../../../../src/log/kafka/admin/schema-registry.ts';
import { TopicAdmin } from '../../../../src/log/kafka/admin/topic-admin.ts';
import type { TopicDeclaration } from '../../../../topics/declaration.ts';
import { uniqueName } from '../../../support/names.ts';
import { sharedStack } from '../../../support/stack.ts';

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
const settings = { resourcePartitions: 3, replicationFactor: 1, compactionLagMs: 900_000 };

describe('TopicAdmin', () => {
  let kafka: Kafka;
  let raw: Admin;
  let prefix: string;
  let registry: SchemaRegistry;
  let admin: TopicAdmin;
  const opened: TopicAdmin[] = [];

  before(async () => {
    kafka = createKafka({ brokers: sharedStack().kafkaBrokers, clientId: 'test' }, silent);
    raw = kafka.admin();
    await raw.connect();
  });

  beforeEach(() => {
    prefix = uniqueName('admin');
    registry = new SchemaRegistry({ url: sharedStack().registryUrl, prefix });
    admin = newAdmin();
  });

  afterEach(async () => {
    const topics = (await raw.listTopics()).filter((topic) => topic.startsWith(`${prefix}.`));
    if (topics.length > 0) await raw.deleteTopics({ topics });
    const subjects = (await (await fetch(`${sharedStack().registryUrl}/subjects`)).json()) as string[];
    for (const subject of subjects.filter((name) => name.startsWith(`${prefix}.`))) {
      await fetch(`${sharedStack().registryUrl}/subjects/${subject}`, { method: 'DELETE' });
    }
    await Promise.all(opened.splice(0).map((one) => one.close()));
  });

  after(() => raw.disconnect());

  function newAdmin(declarations: readonly TopicDeclaration[] = allTopics): TopicAdmin {
    const made = new TopicAdmin({ kafka, registry, declarations, settings, prefix });
    opened.push(made);
    return made;
  }

  async function configOf(topic: string): Promise<Record<string, string>> {
    const { resources } = await raw.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic }],
    });
    return Object.fromEntries((resources[0]?.configEntries ?? []).map((e) => [e.configName, e.configValue]));
  }

  async function alter(topic: string, config: Record<string, string>): Promise<void> {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    await raw.alterConfigs({
      validateOnly: false,
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configEntries }],
    });
    const holds = async (): Promise<boolean> => {
      const current = await configOf(topic);
      return Object.entries(config).every(([name, value]) => current[name] === value);
    };
    while (!(await holds())); // brokers take it over a moment later
  }

  it('makes everything that is declared, and then finds no difference', async () => {
    const before = await admin.check();
    assert.equal(before.filter(({ kind }) => kind === 'missing-topic').length, allTopics.length - 1);
    const subjects = new Set(allTopics.map(({ subject }) => subject)).size;
    assert.equal(before.filter(({ kind }) => kind === 'missing-schema').length, subjects);
    assert.deepEqual(await admin.apply(), before);
    assert.deepEqual(await admin.check(), []);
    assert.deepEqual(await admin.apply(), []);
    const { topics } = await raw.fetchTopicMetadata({ topics: [`${prefix}.tasks.bulk`] });
    assert.equal(topics[0]?.partitions.length, 16);
    assert.equal((await configOf(`${prefix}.status`))['retention.ms'], '-1');
  });

  it('only reports when checking', async () => {
    await admin.check();
    assert.deepEqual(
      (await raw.listTopics()).filter((topic) => topic.startsWith(prefix)),
      [],
    );
  });

  it('can be done by several processes at once', async () => {
    const all = [admin, newAdmin(), newAdmin(), newAdmin()];
    await Promise.all(all.map((one) => one.apply()));
    assert.deepEqual(await admin.check(), []);
    const made = await Promise.all(all.map((one) => one.ensureResourceTopic('Patient')));
    assert.deepEqual(
      made,
      all.map(() => ({ topic: `${prefix}.resources.Patient`, partitions: 3 })),
    );
  });

  it('sets back what differs, and leaves what the operator has set besides', async () => {
    await admin.apply();
    await alter(`${prefix}.status`, { 'retention.ms': '1000', 'compression.type': 'zstd' });
    const found = await admin.apply();
    assert.deepEqual(
      found.map(({ text }) => text).filter((text) => text.includes('retention.ms')),
      [`${prefix}.status has retention.ms=1000, declared is -1`],
    );
    const config = await configOf(`${prefix}.status`);
    assert.equal(config['retention.ms'], '-1');
    assert.equal(config['compression.type'], 'zstd');
    assert.deepEqual(await admin.check(), []);
  });

  it('refuses a topic whose records are compressed with what is not read, by name', async () => {
    await admin.apply();
    await alter(`${prefix}.status`, { 'compression.type': 'lz4' });
    await assert.rejects(admin.apply(), /status has compression\.type=lz4/);
    assert.equal((await configOf(`${prefix}.status`))['compression.type'], 'lz4');
  });

  it('refuses, naming the difference, and changes nothing when a partition count differs', async () => {
    await raw.createTopics({ topics: [{ topic: `${prefix}.commands`, numPartitions: 2 }] });
    await assert.rejects(admin.apply(), (error) => {
      assert.ok(error instanceof HeadwaterError);
      assert.equal(error.code, 'conflict');
      assert.match(error.message, new RegExp(`${prefix}\\.commands has 2 partitions, declared are 4`));
      return true;
    });
    assert.deepEqual(
      (await raw.listTopics()).filter((topic) => topic.startsWith(prefix)),
      [`${prefix}.commands`],
    );
  });

  it('takes the topic of a type as it finds it, and keeps its configuration as declared', async () => {
    await raw.createTopics({ topics: [{ topic: `${prefix}.resources.Patient`, numPartitions: 7 }] });
    assert.deepEqual(await admin.ensureResourceTopic('Patient'), {
      topic: `${prefix}.resources.Patient`,
      partitions: 7,
    });
    await admin.apply();
    const config = await configOf(`${prefix}.resources.Patient`);
    assert.equal(config['cleanup.policy'], 'compact');
    assert.equal(config['min.compaction.lag.ms'], '900000');
    assert.equal(config['max.message.bytes'], '20971520');
  });

  it('lists and removes the topics of types, and only those', async () => {
    await admin.apply();
    for (const type of ['Patient', 'Observation', 'Encounter']) await admin.ensureResourceTopic(type);
    await raw.createTopics({ topics: [{ topic: `${prefix}.resources.Patient.copy` }] });
    assert.deepEqual(await admin.listResourceTypes(), ['Encounter', 'Observation', 'Patient']);
    await admin.deleteResourceTopics();
    assert.deepEqual(await admin.listResourceTypes(), []);
    assert.ok((await raw.listTopics()).includes(`${prefix}.resources.Patient.copy`));
    assert.deepEqual(await admin.check(), []);
    assert.deepEqual((await admin.ensureResourceTopic('Patient')).partitions, 3);
  });

  it('makes resource topics that take a stamp far ahead of the broker’s clock and a resource of 16 MiB', async () => {
    const { topic } = await admin.ensureResourceTopic('Patient');
    const publisher = new KafkaPublisher({ brokers: sharedStack().kafkaBrokers, clientId: 'test' });
    const timestamp = Date.UTC(2100, 0);
    const value = Buffer.alloc(16 * 1024 * 1024, 'x');
    await publisher.append([{ topic, partition: 1, key: 'Patient/1', value, timestamp }]);
    const reader = new RangeReader({ brokers: sharedStack().kafkaBrokers, clientId: 'test' });
    assert.deepEqual(await reader.offsetsAt(topic, timestamp), [0, 0, 0]);
    assert.deepEqual(await reader.offsetsAt(topic, timestamp + 1), [0, 1, 0]);
    await reader.close();
    await publisher.close();
  });

  it('refuses a schema that cannot read what is there', async () => {
    await admin.apply();
    const changed = allTopics.map((topic): TopicDeclaration => {
      if (topic.subject !== 'position') return topic;
      const schema = JSON.stringify(topic.schema).replace('"name":"systemId"', '"name":"databaseId"');
      return { ...topic, schema: JSON.parse(schema) as TopicDeclaration['schema'] };
    });
    await assert.rejects(
      newAdmin(changed).apply(),
      (error) => error instanceof HeadwaterError && error.code === 'conflict' && error.subject === 'position',
    );
  });

  describe('with SchemaRegistry', () => {
    it('resolves every subject to the id of its current schema and what older ones were', async () => {
      await admin.apply();
      const ids = await registry.resolve(allTopics);
      assert.deepEqual(new Set(ids.keys()), new Set(allTopics.map(({ subject }) => subject)));
      for (const { subject, schema } of allTopics) {
        const known = ids.get(subject);
        assert.ok(known);
        const writer = known.writers.get(known.id);
        assert.ok(writer);
        assert.equal(String(avroType(writer)), String(avroType(schema))); // Apicurio gives another spelling of the same
      }
      const wider = allTopics.map((topic) => (topic.subject === 'position' ? widened(topic) : topic));
      await registry.register(wider);
      const newer = (await registry.resolve(wider)).get('position');
      assert.equal(newer?.writers.size, 2);
      assert.notEqual(newer.id, ids.get('position')?.id);
      assert.equal((await registry.resolve(allTopics)).get('position')?.id, ids.get('position')?.id);
    });

    it('says that a schema is not registered and what to run', async () => {
      await assert.rejects(registry.resolve(allTopics), /is not registered; run "headwater topics"/);
    });

    it('accepts every current schema as successor of the released ones', async () => {
      const folder = join(import.meta.dirname, '../../../../topics/released');
      for (const file of readdirSync(folder)) {
        const [subject = '', version] = file.split('.');
        const current = allTopics.find((topic) => topic.subject === subject);
        assert.ok(current, `${file} is of no declared subject`);
        const older = {
          ...current,
          schema: JSON.parse(readFileSync(join(folder, file), 'utf8')) as TopicDeclaration['schema'],
        };
        const own = new SchemaRegistry({
          url: sharedStack().registryUrl,
          prefix: `${prefix}.${subject}.${version ?? ''}`,
        });
        await own.register([older]);
        await own.register([current]);
      }
    });

    it('throws unavailable with the address when no server answers', async () => {
      const away = new SchemaRegistry({ url: 'http://user:geheim@127.0.0.1:1/x', prefix });
      await assert.rejects(away.register(allTopics), (error) => {
        assert.ok(error instanceof HeadwaterError);
        assert.equal(error.code, 'unavailable');
        assert.match(error.message, /127\.0\.0\.1:1/);
        assert.doesNotMatch(error.message, /geheim/);
        return true;
      });
    });
  });
});

/** The same with one more field, which older records have not. */
function widened(topic: TopicDeclaration): TopicDeclaration {
  const schema = topic.schema as {
    readonly type: string;
    readonly name: string;
    readonly fields: readonly object[];
  };
  const field = { name: 'note', type: ['null', 'string'], default: null };
  return { ...topic, schema: { ...schema, fields: [...schema.fields, field] } as TopicDeclaration['schema'] };
}
