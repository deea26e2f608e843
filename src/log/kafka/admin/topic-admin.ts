import type { Kafka } from 'kafkajs';
import { HeadwaterError } from '../../../base/errors.ts';
import { isTemplate, resourceTopicName, topicName } from '../../../../topics/declaration.ts';
import type { TopicDeclaration, TopicSettings } from '../../../../topics/declaration.ts';
import { ClusterTopics } from './cluster-topics.ts';
import type { SchemaRegistry } from './schema-registry.ts';
import { differences } from './topic-difference.ts';
import type { ActualTopic, Difference, WantedTopic } from './topic-difference.ts';

const LAG = 'min.compaction.lag.ms';
/** The replication factor by default, if there are as many brokers. */
const MAX_COPIES = 3;

export interface TopicAdminOptions {
  readonly kafka: Kafka;
  readonly registry: SchemaRegistry;
  readonly declarations: readonly TopicDeclaration[];
  /** Without a replication factor it is 3, or the number of brokers if there are fewer. */
  readonly settings: Omit<TopicSettings, 'replicationFactor'> & {
    readonly replicationFactor: number | undefined;
  };
  /** The prefix of topics and subjects. */
  readonly prefix: string;
}

type NamedTopic = Pick<WantedTopic, 'name' | 'partitions'> & {
  readonly declaration: TopicDeclaration;
  readonly type: string | undefined;
};

/**
 * Makes the cluster and the registry equal to the declarations. This can be repeated, interrupted at any point, and done by several
 * processes at once. It never deletes an undeclared topic, and never changes how keys spread over partitions.
 */
export class TopicAdmin {
  readonly #options: TopicAdminOptions;
  readonly #template: TopicDeclaration;
  readonly #topics: ClusterTopics;

  constructor(options: TopicAdminOptions) {
    this.#options = options;
    const template = options.declarations.find(isTemplate);
    if (!template) throw new HeadwaterError('internal', 'no topic is declared for resources');
    this.#template = template;
    this.#topics = new ClusterTopics(options.kafka);
  }

  /** Returns each difference from the declarations, and changes nothing. */
  async check(): Promise<readonly Difference[]> {
    return (await this.#compare()).found;
  }

  /** Mends each difference and returns them. Throws `conflict` before it changes a topic if one cannot be mended. */
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
    await this.#topics.create(wanted.filter(({ name }) => absent.has(name)));
    await this.#topics.alter(wanted.filter(({ name }) => altered.has(name)));
    return found;
  }

  /** Creates the topic of a resource type if there is none; returns its name and partition count. */
  async ensureResourceTopic(type: string): Promise<{ readonly topic: string; readonly partitions: number }> {
    const topic = resourceTopicName(this.#options.prefix, this.#template, type);
    const [existing] = await this.#topics.describe([topic]);
    if (existing) return { topic, partitions: existing.partitions };
    const settings = await this.#settings();
    const partitions = this.#template.partitions(settings);
    await this.#topics.create([this.#wanted(this.#template, { name: topic, partitions, settings, type })]);
    const [found] = await this.#topics.describe([topic]);
    if (!found)
      throw new HeadwaterError('unavailable', `Kafka has not finished making ${topic}`, { subject: topic });
    return { topic, partitions: found.partitions };
  }

  /** The resource types that have a topic, sorted. */
  async listResourceTypes(): Promise<readonly string[]> {
    const start = resourceTopicName(this.#options.prefix, this.#template, '');
    const names = await this.#topics.list();
    return names
      .filter((name) => name.startsWith(start) && !name.slice(start.length).includes('.'))
      .map((name) => name.slice(start.length))
      .sort();
  }

  /** Returns for how many ms the topics of resources keep replaced versions: the least of them, and the most. undefined if there are none. */
  async compactionLag(): Promise<{ readonly least: number; readonly most: number } | undefined> {
    const found = await this.#topics.describe(await this.#compacted());
    const lags = found.map(({ config }) => Number(config[LAG] ?? 0));
    return lags.length === 0 ? undefined : { least: Math.min(...lags), most: Math.max(...lags) };
  }

  async setCompactionLag(ms: number): Promise<void> {
    const names = await this.#compacted();
    if (names.length > 0) await this.#topics.set(names, LAG, String(ms));
  }

  /** The topics of resources that do not keep every version. */
  async #compacted(): Promise<readonly string[]> {
    const types = await this.listResourceTypes();
    return types
      .filter((type) => type !== 'Group')
      .map((type) => resourceTopicName(this.#options.prefix, this.#template, type));
  }

  /** Deletes every resource topic with its records, and resolves when they are gone. */
  async deleteResourceTopics(): Promise<void> {
    const types = await this.listResourceTypes();
    await this.#topics.delete(
      types.map((type) => resourceTopicName(this.#options.prefix, this.#template, type)),
    );
  }

  /** Deletes the records of a topic. Later records continue its offsets. */
  emptyTopic(topic: string): Promise<void> {
    return this.#topics.empty(topic);
  }

  close(): Promise<void> {
    return this.#topics.close();
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

  /** Returns each declared topic (for resources: one for each type that has a topic), and those of them that exist. */
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
    const actual = await this.#topics.describe(named.map(({ name }) => name));
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
    return { ...settings, replicationFactor: Math.min(MAX_COPIES, await this.#topics.countBrokers()) };
  }
}
