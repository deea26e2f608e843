import kafkajs from 'kafkajs';
import type { Admin, Kafka } from 'kafkajs';
import { backoff, sleep } from '../../../base/clock.ts';
import { HeadwaterError } from '../../../base/errors.ts';
import { isTemplate, resourceTopicName, topicName } from '../../../../topics/declaration.ts';
import type { TopicDeclaration, TopicSettings } from '../../../../topics/declaration.ts';
import { errorTypes, kafkaError } from '../wire/kafka-error.ts';
import type { SchemaRegistry } from './schema-registry.ts';
import { differences, isAsGood } from './topic-difference.ts';
import type { ActualTopic, Difference, WantedTopic } from './topic-difference.ts';

const PATIENCE = 30_000;
/** Copies of a partition, where nothing else is set and there are as many brokers. */
const MOST_COPIES = 3;

const NOT_YET: ReadonlySet<string> = new Set(['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE']);

export interface TopicAdminOptions {
  readonly kafka: Kafka;
  readonly registry: SchemaRegistry;
  readonly declarations: readonly TopicDeclaration[];
  /** Without a replication factor it is 3, or the number of brokers. */
  readonly settings: Omit<TopicSettings, 'replicationFactor'> & {
    readonly replicationFactor: number | undefined;
  };
  /** Of topics and subjects. */
  readonly prefix: string;
}

type NamedTopic = Pick<WantedTopic, 'name' | 'partitions'> & {
  readonly declaration: TopicDeclaration;
  readonly type: string | undefined;
};

/**
 * Makes the cluster and the registry equal to the declarations. Can be repeated, interrupted at any point, and done by
 * several processes at once. Never removes what is not declared, and never changes how keys spread over partitions.
 */
export class TopicAdmin {
  readonly #options: TopicAdminOptions;
  readonly #template: TopicDeclaration;
  #admin: Promise<Admin> | undefined;

  constructor(options: TopicAdminOptions) {
    this.#options = options;
    const template = options.declarations.find(isTemplate);
    if (!template) throw new HeadwaterError('internal', 'no topic is declared for resources');
    this.#template = template;
  }

  /** What is not as declared; changes nothing. */
  async check(): Promise<readonly Difference[]> {
    return (await this.#compare()).found;
  }

  /** Makes it so and returns what was different. Throws `conflict`, before it changes a topic, when that cannot be done. */
  async apply(): Promise<readonly Difference[]> {
    const { wanted, found } = await this.#compare();
    const stuck = found.filter(({ kind }) => kind === 'partitions' || kind === 'compression');
    if (stuck.length > 0) {
      const text = stuck.map((difference) => difference.text).join('; ');
      throw new HeadwaterError(
        'conflict',
        `${text}: make the topic again, or use another HEADWATER_TOPIC_PREFIX`,
      );
    }
    await this.#options.registry.register(this.#options.declarations);
    const subjects = (kind: Difference['kind']): ReadonlySet<string> =>
      new Set(found.filter((difference) => difference.kind === kind).map(({ subject }) => subject));
    const [absent, altered] = [subjects('missing-topic'), subjects('config')];
    await this.#create(wanted.filter(({ name }) => absent.has(name)));
    await this.#alter(wanted.filter(({ name }) => altered.has(name)));
    return found;
  }

  /** The topic of a resource type, made when there is none yet, and its partition count. */
  async ensureResourceTopic(type: string): Promise<{ readonly topic: string; readonly partitions: number }> {
    const topic = resourceTopicName(this.#options.prefix, this.#template, type);
    const [existing] = await this.#describe([topic]);
    if (existing) return { topic, partitions: existing.partitions };
    const settings = await this.#settings();
    const partitions = this.#template.partitions(settings);
    await this.#create([this.#wanted(this.#template, { name: topic, partitions, settings, type })]);
    const [found] = await this.#describe([topic]);
    if (!found)
      throw new HeadwaterError('unavailable', `Kafka has not finished making ${topic}`, { subject: topic });
    return { topic, partitions: found.partitions };
  }

  /** The types that have a topic, sorted. */
  async listResourceTypes(): Promise<readonly string[]> {
    const start = resourceTopicName(this.#options.prefix, this.#template, '');
    const names = await this.#call('listing topics', (admin) => admin.listTopics());
    return names
      .filter((name) => name.startsWith(start) && !name.slice(start.length).includes('.'))
      .map((name) => name.slice(start.length))
      .sort();
  }

  /** Removes every resource topic with all it holds, and resolves when they are gone. */
  async deleteResourceTopics(): Promise<void> {
    const types = await this.listResourceTypes();
    await this.#delete(types.map((type) => resourceTopicName(this.#options.prefix, this.#template, type)));
  }

  /** Removes the records of a topic; what comes later goes on with their offsets. */
  async emptyTopic(topic: string): Promise<void> {
    await this.#call(`emptying ${topic}`, async (admin) => {
      const ends = await admin.fetchTopicOffsets(topic);
      await admin.deleteTopicRecords({
        topic,
        partitions: ends.map(({ partition, high }) => ({ partition, offset: high })),
      });
    });
  }

  async close(): Promise<void> {
    const opened = this.#admin;
    this.#admin = undefined;
    await opened?.then((admin) => admin.disconnect()).catch(() => undefined);
  }

  async #compare(): Promise<{
    readonly wanted: readonly WantedTopic[];
    readonly found: readonly Difference[];
  }> {
    const unregistered = await this.#options.registry.missing(this.#options.declarations);
    const missing = unregistered.map((subject): Difference => {
      return { kind: 'missing-schema', subject, text: `the current schema of ${subject} is not registered` };
    });
    const { wanted, actual } = await this.#survey();
    return { wanted, found: [...missing, ...differences(wanted, actual)] };
  }

  /** Every topic there should be (those of resources: each there is) and those of them there are. */
  async #survey(): Promise<{ wanted: readonly WantedTopic[]; actual: readonly ActualTopic[] }> {
    const { declarations, prefix } = this.#options;
    const settings = await this.#settings();
    const types = await this.listResourceTypes();
    const named = declarations.flatMap((declaration): NamedTopic[] => {
      if (!isTemplate(declaration)) {
        const [name, partitions] = [topicName(prefix, declaration), declaration.partitions(settings)];
        return [{ declaration, name, partitions, type: undefined }];
      }
      return types.map((type) => {
        const name = resourceTopicName(prefix, declaration, type);
        return { declaration, name, partitions: undefined, type };
      });
    });
    const actual = await this.#describe(named.map(({ name }) => name));
    const copies = new Map(actual.map(({ name, replicas }) => [name, replicas]));
    const wanted = named.map(({ declaration, ...topic }): WantedTopic => {
      const replicationFactor = copies.get(topic.name) ?? settings.replicationFactor;
      const made = this.#wanted(declaration, { ...topic, settings: { ...settings, replicationFactor } });
      return { ...made, replicas: settings.replicationFactor };
    });
    return { wanted, actual };
  }

  #wanted(
    declaration: TopicDeclaration,
    topic: Pick<WantedTopic, 'name' | 'partitions'> & {
      readonly settings: TopicSettings;
      readonly type: string | undefined;
    },
  ): WantedTopic {
    const { name, partitions, settings, type } = topic;
    return {
      name,
      partitions,
      replicas: settings.replicationFactor,
      config: declaration.config(settings, type),
    };
  }

  async #settings(): Promise<TopicSettings> {
    const { settings } = this.#options;
    if (settings.replicationFactor !== undefined)
      return { ...settings, replicationFactor: settings.replicationFactor };
    const { brokers } = await this.#call('asking for the brokers', (admin) => admin.describeCluster());
    return { ...settings, replicationFactor: Math.min(MOST_COPIES, brokers.length) };
  }

  async #describe(names: readonly string[]): Promise<readonly ActualTopic[]> {
    return this.#call('reading topics', async (admin) => {
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

  async #create(wanted: readonly WantedTopic[]): Promise<void> {
    if (wanted.length === 0) return;
    const topics = wanted.map(({ name, partitions, replicas, config }) => ({
      topic: name,
      numPartitions: partitions ?? 1,
      replicationFactor: replicas,
      configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
    }));
    // kafkajs answers false when another process was first, and takes a broker's not knowing of it yet for an error.
    await this.#call('making topics', (admin) => admin.createTopics({ topics, waitForLeaders: false }));
    const names = wanted.map(({ name }) => name);
    await this.#until('topics to be there', async (admin) => {
      const existing = new Set(await admin.listTopics());
      if (!names.every((name) => existing.has(name))) return false;
      const metadata = await admin.fetchTopicMetadata({ topics: names }).catch((error: unknown) => {
        if (errorTypes(error).some((type) => NOT_YET.has(type))) return undefined; // by another broker than the list's
        throw error;
      });
      const partitions = metadata?.topics.map((topic) => topic.partitions) ?? [[]];
      return partitions.every((list) => list.length > 0 && list.every(({ leader }) => leader >= 0));
    });
  }

  /** Kafka replaces everything that was set on a topic, so what the operator set beyond the declaration is sent along. */
  async #alter(wanted: readonly WantedTopic[]): Promise<void> {
    if (wanted.length === 0) return;
    await this.#call('configuring topics', async (admin) => {
      const { resources } = await admin.describeConfigs({
        includeSynonyms: false,
        resources: wanted.map(({ name }) => resource(name)),
      });
      const found = new Map(
        resources.map(({ resourceName, configEntries }) => [resourceName, configEntries]),
      );
      await admin.alterConfigs({
        validateOnly: false,
        resources: wanted.map(({ name, config }) => {
          const own = (found.get(name) ?? []).filter(
            ({ configSource }) => configSource === kafkajs.ConfigSource.TOPIC_CONFIG,
          );
          const set = Object.fromEntries(own.map((e) => [e.configName, e.configValue]));
          const declared = Object.entries(config).filter(([key, value]) => !isAsGood(key, set[key], value));
          const merged = { ...set, ...Object.fromEntries(declared) };
          return {
            ...resource(name),
            configEntries: Object.entries(merged).map(([key, value]) => ({ name: key, value })),
          };
        }),
      });
    });
    // Brokers take it over a moment later.
    const names = wanted.map(({ name }) => name);
    await this.#until('settings to hold', async () => {
      const left = differences(wanted, await this.#describe(names));
      return !left.some(({ kind }) => kind === 'config'); // copies that are too few stay so
    });
  }

  async #delete(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await this.#call('deleting topics', (admin) =>
      admin.deleteTopics({ topics: [...names], timeout: PATIENCE }),
    ).catch((error: unknown) => {
      // Another process deletes them as well; what counts is that they go.
      if (!errorTypes(error).includes('UNKNOWN_TOPIC_OR_PARTITION')) throw error;
    });
    await this.#until('topics to be gone', async (admin) => {
      const existing = new Set(await admin.listTopics());
      return !names.some((name) => existing.has(name));
    });
  }

  /** Kafka has no event for this; it is asked until the answer is yes. */
  async #until(what: string, done: (admin: Admin) => Promise<boolean>): Promise<void> {
    const patience = AbortSignal.timeout(PATIENCE);
    for (let attempt = 0; !(await this.#call(`waiting for ${what}`, done)); attempt++) {
      await sleep(backoff(attempt, Math.random, 5, 200), patience).catch(() => {
        throw new HeadwaterError('unavailable', `Kafka took too long for ${what}`);
      });
    }
  }

  /** A connection that failed is not used again. */
  async #call<T>(doing: string, call: (admin: Admin) => Promise<T>): Promise<T> {
    this.#admin ??= this.#open();
    const opened = this.#admin;
    try {
      return await call(await opened);
    } catch (error) {
      if (this.#admin === opened) this.#admin = undefined;
      void opened.then((admin) => admin.disconnect()).catch(() => undefined);
      throw kafkaError(error, doing);
    }
  }

  async #open(): Promise<Admin> {
    const admin = this.#options.kafka.admin();
    await admin.connect();
    return admin;
  }
}

function resource(name: string): { type: number; name: string } {
  return { type: kafkajs.ConfigResourceTypes.TOPIC, name };
}
