import { HeadwaterError, messageOf } from '../../base/errors.ts';
import { Connection } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { kafkaError } from './kafka-error.ts';
import * as protocol from './protocol.ts';
import type { Call, TopicMetadata } from './protocol.ts';
import { CONCURRENT_TRANSACTIONS, ProtocolError } from './protocol-error.ts';

export interface ClusterOptions {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly connection?: Pick<ConnectionOptions, 'tls' | 'sasl'>;
}

const UNKNOWN_TOPIC = 3;
/** Topics in one call for metadata; the answer has a line for each partition. */
const TOPICS_A_CALL = 200;
const LEADER_NOT_AVAILABLE = 5;
const ADDRESS = /^(\[[^\]]+\]|[^[\]:]+):\d+$/;

/**
 * Connections to a Kafka cluster, one a broker, and who leads what. Forgets everything it knows on any error, so that the
 * next call asks anew.
 */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #connections = new Map<string, Connection>();
  /** Addresses by node. */
  #brokers: ReadonlyMap<number, string> = new Map();
  /** Leaders by partition number, by topic. */
  readonly #topics = new Map<string, readonly number[]>();

  constructor(options: ClusterOptions) {
    this.#options = options;
    for (const address of options.brokers) {
      if (!ADDRESS.test(address))
        throw new HeadwaterError(
          'bad-config',
          `"${address}" is not host:port; correct HEADWATER_KAFKA_BROKERS`,
        );
    }
  }

  /** Topics as the cluster has them now, by name; those that do not exist are left out. */
  async topics(names: readonly string[]): Promise<ReadonlyMap<string, TopicMetadata>> {
    const found = new Map<string, TopicMetadata>();
    for (let at = 0; at < names.length; at += TOPICS_A_CALL) {
      for (const topic of await this.#ask(names.slice(at, at + TOPICS_A_CALL))) found.set(topic.topic, topic);
    }
    return found;
  }

  /** Partition numbers of a topic; undefined when there is no such topic. */
  async partitions(topic: string): Promise<readonly number[] | undefined> {
    const leaders = await this.#leaders(topic);
    return leaders && [...leaders.keys()];
  }

  /** Address of a partition's leader. Throws `unavailable` also when there is no such topic. */
  async leader(topic: string, partition: number): Promise<string> {
    const leaders = await this.#leaders(topic);
    if (!leaders) throw new HeadwaterError('unavailable', `Kafka has no topic ${topic}`, { subject: topic });
    const address = this.#brokers.get(leaders[partition] ?? -1);
    if (address !== undefined) return address;
    this.forget();
    throw new HeadwaterError('unavailable', `${topic}/${partition} has no leader`, { subject: topic });
  }

  /** Address of the coordinator of a transactional id. */
  async coordinator(transactionalId: string): Promise<string> {
    return this.call(await this.#any(), protocol.findCoordinator(transactionalId));
  }

  /** Calls the broker at an address; whatever goes wrong is a HeadwaterError, with its cause. */
  async call<T>(address: string, call: Call<T>): Promise<T> {
    try {
      const connection = await this.#connect(address);
      return await connection.send(call);
    } catch (error) {
      if (protocolCode(error) !== CONCURRENT_TRANSACTIONS) this.forget();
      throw kafkaError(error, `asking ${address}`);
    }
  }

  /** Asks for metadata anew at the next call. */
  forget(): void {
    this.#topics.clear();
  }

  /** Drops every connection, also one that hangs. */
  reset(): void {
    this.forget();
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }

  close(): void {
    this.reset();
  }

  async #leaders(topic: string): Promise<readonly number[] | undefined> {
    const known = this.#topics.get(topic);
    if (known?.every((leader) => leader >= 0)) return known;
    const [found] = await this.#ask([topic]);
    return found?.leaders;
  }

  /** Asks for topics anew; those that do not exist are left out. */
  async #ask(names: readonly string[]): Promise<TopicMetadata[]> {
    const { brokers, topics } = await this.call(await this.#any(), protocol.metadata(names));
    this.#brokers = brokers;
    const found = topics.filter(({ errorCode }) => errorCode !== UNKNOWN_TOPIC);
    for (const { topic, errorCode, leaders } of found) {
      // LEADER_NOT_AVAILABLE is told of each partition as well; only what is behind such a partition must wait.
      if (errorCode !== 0 && errorCode !== LEADER_NOT_AVAILABLE) {
        const cause = new ProtocolError(`Metadata of ${topic}`, errorCode);
        throw kafkaError(cause, `looking for ${topic}`, { topic });
      }
      this.#topics.set(topic, leaders);
    }
    return found;
  }

  /** Address of a broker that answers. */
  async #any(): Promise<string> {
    let cause: unknown;
    for (const address of new Set([...this.#options.brokers, ...this.#brokers.values()])) {
      try {
        await this.#connect(address);
        return address;
      } catch (error) {
        cause = error;
      }
    }
    const refusal = kafkaError(cause, 'connecting');
    if (refusal.code === 'refused') throw refusal;
    const where = this.#options.brokers.join(',');
    throw new HeadwaterError('unavailable', `Kafka does not answer at ${where}: ${messageOf(cause)}`, {
      cause,
    });
  }

  async #connect(address: string): Promise<Connection> {
    let connection = this.#connections.get(address);
    if (connection?.usable !== true) {
      connection = new Connection(address, { ...this.#options.connection, clientId: this.#options.clientId });
      this.#connections.set(address, connection);
    }
    await connection.ready;
    return connection;
  }
}

/** Kafka's own error code behind an error; undefined when it is none of Kafka's. */
export function protocolCode(error: unknown): number | undefined {
  if (error instanceof ProtocolError) return error.code;
  return error instanceof Error && error.cause !== undefined ? protocolCode(error.cause) : undefined;
}
