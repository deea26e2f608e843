import { ConnectionPool, findCoordinatorV6, metadataV12 } from '@platformatic/kafka';
import type { API, Broker, Connection, ConnectionOptions } from '@platformatic/kafka';
import { HeadwaterError, messageOf } from '../../base/errors.ts';

export interface ClusterOptions {
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** TLS and SASL, as @platformatic/kafka takes them. */
  readonly connection?: Pick<ConnectionOptions, 'tls' | 'sasl'>;
}

interface TopicMetadata {
  readonly id: string;
  /** Leader's node id by partition number; -1 when there is none now. */
  readonly leaders: readonly number[];
}

const TRANSACTION_COORDINATOR = 1;
const UNKNOWN_TOPIC = 3;
const CONCURRENT_TRANSACTIONS = 51;
const REQUEST_TIMEOUT = 30_000;

/**
 * Connections to a Kafka cluster and who leads what, on @platformatic/kafka's network layer: its protocol calls without
 * its clients, because ranges and batches are read and written as bytes here. Forgets everything it knows on any error,
 * so that the next call asks anew.
 */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #bootstrap: Broker[];
  #pool: ConnectionPool;
  #brokers = new Map<number, Broker>();
  #topics = new Map<string, TopicMetadata>();

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#bootstrap = options.brokers.map(parseBroker);
    this.#pool = this.#newPool();
  }

  /** undefined when there is no such topic. */
  async topic(name: string): Promise<TopicMetadata | undefined> {
    const known = this.#topics.get(name);
    if (known && known.leaders.every((leader) => leader >= 0)) return known;
    const connection = await this.#any();
    const metadata = await this.call(metadataV12.api, connection, [name], false, false).catch(
      (error: unknown) => {
        if (errorCodes(error).includes(UNKNOWN_TOPIC)) return undefined;
        throw error;
      },
    );
    if (!metadata) return undefined;
    this.#brokers = new Map(metadata.brokers.map((broker) => [broker.nodeId, broker]));
    const found = metadata.topics.find((topic) => topic.name === name);
    if (!found || found.errorCode !== 0) return undefined;
    const leaders: number[] = [];
    for (const partition of found.partitions) leaders[partition.partitionIndex] = partition.leaderId;
    const topic = { id: found.topicId, leaders };
    this.#topics.set(name, topic);
    return topic;
  }

  /** As `topic`, but throws `unavailable` when it is not there. */
  async requireTopic(name: string): Promise<TopicMetadata> {
    const topic = await this.topic(name);
    if (!topic) throw new HeadwaterError('unavailable', `Kafka has no topic ${name}`, { subject: name });
    return topic;
  }

  /** The connection to a partition's leader. */
  async leader(topic: string, partition: number): Promise<Connection> {
    const node = (await this.requireTopic(topic)).leaders[partition];
    const broker = node === undefined ? undefined : this.#brokers.get(node);
    if (!broker) {
      this.forget();
      throw new HeadwaterError('unavailable', `${topic}/${partition} has no leader`, { subject: topic });
    }
    return this.#connect(broker);
  }

  async transactionCoordinator(transactionalId: string): Promise<Connection> {
    const connection = await this.#any();
    const found = await this.call(findCoordinatorV6.api, connection, TRANSACTION_COORDINATOR, [
      transactionalId,
    ]);
    const coordinator = found.coordinators[0];
    if (!coordinator) throw new HeadwaterError('unavailable', 'Kafka names no transaction coordinator');
    return this.#connect(coordinator);
  }

  /** Calls the broker; whatever goes wrong is a HeadwaterError `unavailable` with the protocol error codes as its cause. */
  async call<Arguments extends unknown[], Response>(
    api: API<Arguments, Response>,
    connection: Connection,
    ...args: Arguments
  ): Promise<Response> {
    try {
      return await api.async(connection, ...args);
    } catch (error) {
      if (!errorCodes(error).includes(CONCURRENT_TRANSACTIONS)) this.forget();
      throw new HeadwaterError('unavailable', `Kafka: ${describe(error)}`, { cause: error });
    }
  }

  /** Asks for metadata and connects anew at the next call. */
  forget(): void {
    this.#topics.clear();
  }

  /** Drops every connection, also one that hangs. */
  async reset(): Promise<void> {
    this.forget();
    const pool = this.#pool;
    this.#pool = this.#newPool();
    await pool.close().catch(() => undefined);
  }

  async close(): Promise<void> {
    await this.#pool.close().catch(() => undefined);
  }

  #newPool(): ConnectionPool {
    const pool = new ConnectionPool(this.#options.clientId, {
      connectTimeout: 5_000,
      requestTimeout: REQUEST_TIMEOUT,
      maxInflights: 16,
      ...this.#options.connection,
    });
    // A failed connection rejects the calls on it; the event says the same again.
    pool.on('failed', () => undefined);
    return pool;
  }

  async #any(): Promise<Connection> {
    try {
      return await this.#pool.getFirstAvailable([...this.#bootstrap, ...this.#brokers.values()]);
    } catch (error) {
      throw new HeadwaterError('unavailable', `Kafka does not answer at ${this.#options.brokers.join(',')}`, {
        cause: error,
      });
    }
  }

  async #connect(broker: Broker): Promise<Connection> {
    try {
      return await this.#pool.get({ host: broker.host, port: broker.port });
    } catch (error) {
      this.forget();
      throw new HeadwaterError('unavailable', `Kafka does not answer at ${broker.host}:${broker.port}`, {
        cause: error,
      });
    }
  }
}

/** The Kafka protocol error codes inside an error of @platformatic/kafka, however deep. */
export function errorCodes(error: unknown): number[] {
  if (!(error instanceof Error)) return [];
  const codes: number[] = [];
  const { apiCode, errors } = error as { apiCode?: unknown; errors?: unknown };
  if (typeof apiCode === 'number') codes.push(apiCode);
  for (const inner of Array.isArray(errors) ? errors : Object.values(errors ?? {}))
    codes.push(...errorCodes(inner));
  if (error.cause !== undefined) codes.push(...errorCodes(error.cause));
  return codes;
}

function describe(error: unknown): string {
  const names = new Set<string>();
  const visit = (e: unknown): void => {
    if (!(e instanceof Error)) return;
    const { apiId, errors } = e as { apiId?: unknown; errors?: unknown };
    if (typeof apiId === 'string') names.add(apiId);
    for (const inner of Array.isArray(errors) ? errors : Object.values(errors ?? {})) visit(inner);
    visit(e.cause);
  };
  visit(error);
  return names.size > 0 ? [...names].join(', ') : messageOf(error);
}

function parseBroker(address: string): Broker {
  const match = /^\[?([^\]]+?)\]?:(\d+)$/.exec(address);
  if (!match?.[1])
    throw new HeadwaterError('bad-config', `"${address}" is not host:port; correct HEADWATER_KAFKA_BROKERS`);
  return { host: match[1], port: Number(match[2]) };
}
