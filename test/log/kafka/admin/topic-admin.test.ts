import assert from 'node:assert/strict';
import type { Kafka } from 'kafkajs';
import { TopicAdmin } from '../../../../src/log/kafka/admin/topic-admin.ts';
import type { SchemaRegistry } from '../../../../src/log/kafka/admin/schema-registry.ts';
import { resources } from '../../../../topics/resources.ts';

/** Three brokers and one topic of one copy, as an earlier release made it. */
function cluster() {
  const config: Record<string, string> = {};
  const name = 'hw.resources.Patient';
  const configEntries = () =>
    Object.entries(config).map(([configName, configValue]) => ({ configName, configValue, configSource: 1 }));
  const admin = {
    connect: async () => undefined,
    disconnect: async () => undefined,
    describeCluster: async () => ({ brokers: [1, 2, 3] }),
    listTopics: async () => [name],
    fetchTopicMetadata: async () => ({ topics: [{ name, partitions: [{ replicas: [1], leader: 1 }] }] }),
    describeConfigs: async () => ({ resources: [{ resourceName: name, configEntries: configEntries() }] }),
    alterConfigs: async ({ resources: [altered] }: { resources: Altered[] }) => {
      for (const entry of altered?.configEntries ?? []) config[entry.name] = entry.value;
    },
  };
  return { kafka: { admin: () => admin } as unknown as Kafka, config };
}

interface Altered {
  readonly configEntries: readonly { readonly name: string; readonly value: string }[];
}

const registry = { missing: async () => [], register: async () => undefined } as unknown as SchemaRegistry;

describe('topics of an earlier release', () => {
  it('get their settings although they have too few copies, and the copies are reported', async () => {
    const { kafka, config } = cluster();
    const settings = { resourcePartitions: 3, replicationFactor: undefined, compactionLagMs: 900_000 };
    const admin = new TopicAdmin({ kafka, registry, declarations: [resources], settings, prefix: 'hw' });
    const found = await admin.apply();
    assert.ok(found.some(({ kind }) => kind === 'replicas'));
    assert.equal(config['cleanup.policy'], 'compact');
    assert.equal(config['min.insync.replicas'], '1');
    await admin.close();
  });
});
