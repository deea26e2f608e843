import { allTopics } from '../../topics/all.ts';
import { audit, disclosures } from '../../topics/audit.ts';
import { announced } from '../../topics/announced.ts';
import { commands } from '../../topics/commands.ts';
import { exportEvents } from '../../topics/exports.ts';
import { position } from '../../topics/position.ts';
import { progress } from '../../topics/progress.ts';
import { resources } from '../../topics/resources.ts';
import { status } from '../../topics/status.ts';
import { bulkTasks, quickTasks } from '../../topics/tasks.ts';
import { zones } from '../../topics/zones.ts';
import type { GroupLog } from '../cohort/group-directory.ts';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/service.ts';
import type { Settings } from '../config/settings.ts';
import { controlCodecs } from '../events/control-codec.ts';
import type { ControlCodecs } from '../events/control-codec.ts';
import { ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { Codec, SchemaIds } from '../events/schema-ids.ts';
import { References } from '../fhir/reference.ts';
import type { Lane } from '../events/tasks.ts';
import type { StatusReading } from '../jobs/read-status.ts';
import type { ClusterOptions } from '../log/kafka/wire/cluster.ts';
import { createKafka } from '../log/kafka/kafka-client.ts';
import { KafkaPublisher } from '../log/kafka/append/publisher.ts';
import { RangeReader } from '../log/kafka/read/range-reader.ts';
import { SchemaRegistry } from '../log/kafka/admin/schema-registry.ts';
import { TopicAdmin } from '../log/kafka/admin/topic-admin.ts';
import { KafkaWorkQueue } from '../log/kafka/queue/work-queue.ts';
import { resourceTopicName, topicName } from '../../topics/declaration.ts';

/** The codecs, which need the schema ids of the registry. */
export interface Codecs {
  readonly ids: SchemaIds;
  readonly control: ControlCodecs;
  readonly change: ResourceChangeCodec;
}

export interface TopicNames {
  readonly position: string;
  readonly commands: string;
  readonly zones: string;
  readonly status: string;
  readonly progress: string;
  readonly exports: string;
  readonly announced: string;
  readonly audit: string;
  readonly disclosures: string;
  readonly tasks: Readonly<Record<Lane, string>>;
  resource(type: string): string;
}

const HOUR = 3_600_000;

/** The clients of the log that the roles of one process share. Each connects when it is first used. */
export class LogAccess {
  readonly names: TopicNames;
  readonly cluster: ClusterOptions;
  readonly kafka: ReturnType<typeof createKafka>;
  readonly reader: RangeReader;
  readonly publisher: KafkaPublisher;
  readonly queue: KafkaWorkQueue;
  readonly admin: TopicAdmin;
  readonly #registry: SchemaRegistry;
  readonly #references: References;
  readonly #secret: string | undefined;
  readonly #logger: Logger;
  readonly #onGaveUp: ((topic: string) => void) | undefined;
  /** Places of records that could not be read, so that each is reported once. */
  readonly #leftOut = new Set<string>();
  #codecs: Promise<Codecs> | undefined;

  constructor(settings: Settings, logger: Logger, onGaveUp?: (topic: string) => void) {
    const prefix = settings.topicPrefix;
    this.#logger = logger;
    this.#onGaveUp = onGaveUp;
    this.names = topicNames(prefix);
    this.cluster = clusterOptions(settings);
    this.kafka = createKafka(
      { ...kafkaJsOptions(settings), brokers: settings.kafkaBrokers, clientId: 'headwater' },
      logger,
    );
    this.#references = new References(settings.sourceBaseUrls);
    this.#secret = settings.urlSecret;
    this.reader = new RangeReader(this.cluster);
    this.publisher = new KafkaPublisher(this.cluster);
    this.queue = new KafkaWorkQueue({
      kafka: this.kafka,
      cluster: this.cluster,
      prefix,
      logger,
      ...(onGaveUp && { onGaveUp }),
    });
    this.#registry = new SchemaRegistry({ url: settings.registryUrl, prefix });
    this.admin = new TopicAdmin({
      kafka: this.kafka,
      registry: this.#registry,
      declarations: allTopics,
      settings: {
        resourcePartitions: settings.resourcePartitions,
        replicationFactor: settings.replicationFactor,
        compactionLagMs: settings.compactionLagMs,
        maxResourceBytes: settings.maxResourceBytes,
        jobHistoryHours: (settings.maxExportMs + settings.retentionMs + settings.jobHistoryMs) / HOUR,
        auditHours: settings.auditRetentionMs / HOUR,
      },
      prefix,
    });
  }

  /** Creates the declared topics once in a process and returns the codecs. Throws `unavailable` or `conflict`. */
  async codecs(): Promise<Codecs> {
    this.#codecs ??= this.#prepare();
    try {
      return await this.#codecs;
    } catch (error) {
      this.#codecs = undefined; // the next call tries again
      throw error;
    }
  }

  /** The resource topics, with what it takes to read them. */
  async resources(): Promise<GroupLog> {
    const { change } = await this.codecs();
    return {
      reader: this.reader,
      references: this.#references,
      decodeChange: (value) => change.decode(value),
      topicOf: (type) => this.names.resource(type),
    };
  }

  /**
   * Reads a record that may be of a schema that a newer process has registered after the start of this one. Throws `corrupt`
   * when the registry does not know its schema either.
   */
  async decode<T>(codecOf: (codecs: Codecs) => Pick<Codec<T>, 'decode'>, bytes: Buffer): Promise<T> {
    const codecs = await this.codecs();
    try {
      return codecOf(codecs).decode(bytes);
    } catch (error) {
      if (!(error instanceof HeadwaterError) || error.code !== 'unavailable') throw error;
    }
    const fresh = codecsOf(await this.#registry.resolve(allTopics), this.#references, this.#secret);
    try {
      return codecOf(fresh).decode(bytes);
    } catch (error) {
      if (!(error instanceof HeadwaterError) || error.code !== 'unavailable') throw error;
      throw new HeadwaterError('corrupt', 'a record is of a schema that is none of ours', { cause: error });
    }
  }

  /** The way to read records of the status topic. A record that cannot be read is logged once and counted. */
  get statusReading(): StatusReading {
    return {
      codec: { decode: (bytes) => this.decode(({ control }) => control.status, bytes) },
      onUnreadable: ({ partition, offset }, error) => {
        const place = `${this.names.status}/${String(partition)} at offset ${String(offset)}`;
        if (this.#leftOut.has(place)) return;
        this.#leftOut.add(place);
        this.#onGaveUp?.(this.names.status);
        this.#logger.error({ err: error }, `the record of ${place} is left out: ${messageOf(error)}`);
      },
    };
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.reader.close(), this.publisher.close(), this.admin.close()]);
  }

  async #prepare(): Promise<Codecs> {
    const found = await this.admin.apply();
    for (const { kind, text } of found) if (kind === 'replicas') this.#logger.warn({}, text);
    return codecsOf(await this.#registry.resolve(allTopics), this.#references, this.#secret);
  }
}

function codecsOf(ids: SchemaIds, references: References, secret: string | undefined): Codecs {
  return { ids, control: controlCodecs(ids, secret), change: new ResourceChangeCodec(ids, references) };
}

function topicNames(prefix: string): TopicNames {
  return {
    position: topicName(prefix, position),
    commands: topicName(prefix, commands),
    zones: topicName(prefix, zones),
    status: topicName(prefix, status),
    progress: topicName(prefix, progress),
    exports: topicName(prefix, exportEvents),
    announced: topicName(prefix, announced),
    audit: topicName(prefix, audit),
    disclosures: topicName(prefix, disclosures),
    tasks: { quick: topicName(prefix, quickTasks), bulk: topicName(prefix, bulkTasks) },
    resource: (type) => resourceTopicName(prefix, resources, type),
  };
}

const SASL = { plain: 'PLAIN', 'scram-sha-256': 'SCRAM-SHA-256', 'scram-sha-512': 'SCRAM-SHA-512' } as const;

function clusterOptions(settings: Settings): ClusterOptions {
  const { kafkaBrokers: brokers, kafkaSsl, kafkaSaslMechanism: mechanism } = settings;
  const username = settings.kafkaSaslUsername ?? '';
  const password = settings.kafkaSaslPassword ?? '';
  return {
    brokers,
    clientId: 'headwater',
    connection: {
      ...(kafkaSsl && { tls: {} }),
      ...(mechanism && { sasl: { mechanism: SASL[mechanism], username, password } }),
    },
  };
}

function kafkaJsOptions(settings: Settings) {
  const { kafkaSsl, kafkaSaslMechanism: mechanism } = settings;
  const username = settings.kafkaSaslUsername ?? '';
  const password = settings.kafkaSaslPassword ?? '';
  return { ...(kafkaSsl && { ssl: true }), ...(mechanism && { sasl: { mechanism, username, password } }) };
}
