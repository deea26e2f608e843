import kafkajs from 'kafkajs';
import type { Kafka } from 'kafkajs';
import { errorTypes } from '../wire/kafka-error.ts';
import { AdminConnection, PATIENCE } from './admin-connection.ts';
import { differences, isAsGood } from './topic-difference.ts';
import type { ActualTopic, WantedTopic } from './topic-difference.ts';

const NOT_YET: ReadonlySet<string> = new Set(['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE']);

type Config = Readonly<Record<string, string>>;

/** The topics of a cluster. Each method resolves when the brokers show its effect, and can be repeated. */
export class ClusterTopics {
  readonly #admin: AdminConnection;

  constructor(kafka: Kafka) {
    this.#admin = new AdminConnection(kafka);
  }

  async countBrokers(): Promise<number> {
    const { brokers } = await this.#admin.call('asking for the brokers', (admin) => admin.describeCluster());
    return brokers.length;
  }

  list(): Promise<readonly string[]> {
    return this.#admin.call('listing topics', (admin) => admin.listTopics());
  }

  /** Leaves out topics that do not exist. */
  async describe(names: readonly string[]): Promise<readonly ActualTopic[]> {
    return this.#admin.call('reading topics', async (admin) => {
      const all = new Set(await admin.listTopics());
      const existing = names.filter((name) => all.has(name));
      if (existing.length === 0) return [];
      const { topics } = await admin.fetchTopicMetadata({ topics: existing });
      const { resources } = await admin.describeConfigs({
        includeSynonyms: false,
        resources: existing.map(resource),
      });
      const configs = new Map(
        resources.map(({ resourceName, configEntries }) => [resourceName, configEntries]),
      );
      return topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.length,
        replicas: Math.min(...partitions.map(({ replicas }) => replicas.length)),
        config: Object.fromEntries(
          (configs.get(name) ?? []).map((entry) => [entry.configName, entry.configValue]),
        ),
      }));
    });
  }

  /** Another process may create the same topics at the same time. */
  async create(wanted: readonly WantedTopic[]): Promise<void> {
    if (wanted.length === 0) return;
    const topics = wanted.map(({ name, partitions, replicas, config }) => ({
      topic: name,
      numPartitions: partitions ?? 1,
      replicationFactor: replicas,
      configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
    }));
    // With waitForLeaders, kafkajs fails while a broker does not know the topic yet.
    await this.#admin.call('making topics', (admin) => admin.createTopics({ topics, waitForLeaders: false }));
    const names = wanted.map(({ name }) => name);
    await this.#admin.until('topics to be there', async (admin) => {
      const existing = new Set(await admin.listTopics());
      if (!names.every((name) => existing.has(name))) return false;
      const metadata = await admin.fetchTopicMetadata({ topics: names }).catch((error: unknown) => {
        // The answer comes from another broker than the list of topics.
        if (errorTypes(error).some((type) => NOT_YET.has(type))) return undefined;
        throw error;
      });
      const partitions = metadata?.topics.map((topic) => topic.partitions) ?? [[]];
      return partitions.every((list) => list.length > 0 && list.every(({ leader }) => leader >= 0));
    });
  }

  /** Sets one entry of the configuration of topics, also to a value that is not the declared one. */
  async set(names: readonly string[], key: string, value: string): Promise<void> {
    await this.#merge(names, (own) => ({ ...own, [key]: value }));
    await this.#admin.until('settings to hold', async () =>
      (await this.describe(names)).every(({ config }) => config[key] === value),
    );
  }

  /** Sets the declared configuration. Kafka replaces a topic's whole configuration, so the operator's other entries are sent too. */
  async alter(wanted: readonly WantedTopic[]): Promise<void> {
    if (wanted.length === 0) return;
    const byName = new Map(wanted.map(({ name, config }) => [name, config]));
    await this.#merge([...byName.keys()], (own, name) => {
      const declared = Object.entries(byName.get(name) ?? {});
      return {
        ...own,
        ...Object.fromEntries(declared.filter(([key, value]) => !isAsGood(key, own[key], value))),
      };
    });
    const names = wanted.map(({ name }) => name);
    await this.#admin.until('settings to hold', async () => {
      const left = differences(wanted, await this.describe(names));
      return !left.some(({ kind }) => kind === 'config'); // Headwater cannot add a missing copy
    });
  }

  /** Replaces the configuration of each topic by what is made of its own entries. */
  async #merge(names: readonly string[], merged: (own: Config, name: string) => Config): Promise<void> {
    await this.#admin.call('configuring topics', async (admin) => {
      const { resources } = await admin.describeConfigs({
        includeSynonyms: false,
        resources: names.map(resource),
      });
      await admin.alterConfigs({
        validateOnly: false,
        resources: resources.map(({ resourceName, configEntries }) => {
          const own = configEntries.filter(
            ({ configSource }) => configSource === kafkajs.ConfigSource.TOPIC_CONFIG,
          );
          const set = Object.fromEntries(own.map((e) => [e.configName, e.configValue]));
          const entries = Object.entries(merged(set, resourceName));
          return {
            ...resource(resourceName),
            configEntries: entries.map(([name, value]) => ({ name, value })),
          };
        }),
      });
    });
  }

  /** Another process may delete the same topics at the same time. */
  async delete(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await this.#admin
      .call('deleting topics', (admin) => admin.deleteTopics({ topics: [...names], timeout: PATIENCE }))
      .catch((error: unknown) => {
        if (!errorTypes(error).includes('UNKNOWN_TOPIC_OR_PARTITION')) throw error;
      });
    await this.#admin.until('topics to be gone', async (admin) => {
      const existing = new Set(await admin.listTopics());
      return !names.some((name) => existing.has(name));
    });
  }

  /** Deletes the records of a topic. Later records continue its offsets. */
  async empty(topic: string): Promise<void> {
    await this.#admin.call(`emptying ${topic}`, async (admin) => {
      const ends = await admin.fetchTopicOffsets(topic);
      await admin.deleteTopicRecords({
        topic,
        partitions: ends.map(({ partition, high }) => ({ partition, offset: high })),
      });
    });
  }

  close(): Promise<void> {
    return this.#admin.close();
  }
}

function resource(name: string): { type: number; name: string } {
  return { type: kafkajs.ConfigResourceTypes.TOPIC, name };
}
