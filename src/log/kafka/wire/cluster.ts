import { HeadwaterError, messageOf } from '../../../base/errors.ts';
import { Connection } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { firstAnswer } from './first-answer.ts';
import { kafkaError } from './kafka-error.ts';
import * as protocol from './protocol.ts';
import type { Call, TopicMetadata } from './protocol.ts';
import { code, protocolCode, ProtocolError } from './protocol-error.ts';
import { findCoordinator } from './protocol-write.ts';
import type { CoordinatorKind } from './protocol-write.ts';

export interface ClusterOptions {
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** Time in ms to look for a leader or coordinator that is away or busy; 40 s if absent. */
  readonly patienceMs?: number;
  readonly connection?: Pick<ConnectionOptions, 'tls' | 'sasl'>;
}

/** Longer than a call to a frozen broker takes to end and Kafka to replace it. */
const PATIENCE = 40_000;
/** Topics in one call for metadata; the answer has a line for each partition. */
const TOPICS_A_CALL = 200;
/** ms after which another broker is asked as well. A broker that is frozen takes connections and never answers. */
const SILENCE = 1_000;
/** ms for which a broker that did not answer is asked last. */
const SUSPECT = 60_000;
const ADDRESS = /^(\[[^\]]+\]|[^[\]:]+):\d+$/;

/**
 * Connections to a Kafka cluster, one a broker, and who leads and coordinates what. What any broker can answer is asked of
 * several when one is silent. Callers say by `forget` what turned out to be wrong, so that the next call asks again.
 */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #connections = new Map<string, Connection>();
  /** Addresses by node. */
  #brokers: ReadonlyMap<number, string> = new Map();
  /** Leaders by partition number, by topic. */
  readonly #topics = new Map<string, readonly number[]>();
  /** Addresses by kind and key. */
  readonly #coordinators = new Map<string, string>();
  /** Until when an address is asked last. */
  readonly #suspects = new Map<string, number>();
  #closed = false;

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

  get patienceMs(): number {
    return this.#options.patienceMs ?? PATIENCE;
  }

  get closed(): boolean {
    return this.#closed;
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
    this.forget(topic);
    throw new HeadwaterError('unavailable', `${topic}/${partition} has no leader`, { subject: topic });
  }

  /** Address of the coordinator of a group or a transactional id. */
  async coordinator(kind: CoordinatorKind, key: string): Promise<string> {
    const name = `${kind} ${key}`;
    const known = this.#coordinators.get(name);
    if (known !== undefined) return known;
    const found = await this.callAny(findCoordinator(kind, key));
    this.#coordinators.set(name, found);
    return found;
  }

  /** Calls the broker at an address; whatever goes wrong is a HeadwaterError with its cause. */
  async call<T>(address: string, call: Call<T>): Promise<T> {
    try {
      const connection = await this.#connect(address);
      const answer = await connection.send(call);
      this.#suspects.delete(address);
      return answer;
    } catch (error) {
      if (this.#closed) throw closedError(error);
      if (protocolCode(error) === undefined) this.#unreachable(address);
      throw kafkaError(error, `asking ${address}`);
    }
  }

  /** Calls any broker that answers. It begins with those that answered last, and asks another if one is silent. */
  async callAny<T>(call: Call<T>): Promise<T> {
    const asks = this.#addresses().map((address) => () => {
      const silent = setTimeout(() => this.#suspects.set(address, Date.now() + SUSPECT), SILENCE);
      return this.call(address, call).finally(() => clearTimeout(silent));
    });
    try {
      return await firstAnswer(asks, SILENCE, isAnswer);
    } catch (error) {
      if (isAnswer(error)) throw error;
      const where = this.#options.brokers.join(',');
      throw new HeadwaterError('unavailable', `Kafka does not answer at ${where}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /** Forgets the metadata of a topic, or of all topics, after it proved wrong. */
  forget(topic?: string): void {
    if (topic === undefined) this.#topics.clear();
    else this.#topics.delete(topic);
  }

  /** Forgets the coordinator, because it has moved or does not answer. */
  forgetCoordinator(kind: CoordinatorKind, key: string): void {
    this.#coordinators.delete(`${kind} ${key}`);
  }

  /** Ends all running calls. No call may follow. */
  close(): void {
    this.#closed = true;
    this.reset();
  }

  /** Closes all connections and forgets the metadata of topics. */
  reset(): void {
    this.forget();
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }

  #unreachable(address: string): void {
    this.#suspects.set(address, Date.now() + SUSPECT);
    this.forget();
    for (const [name, at] of this.#coordinators) if (at === address) this.#coordinators.delete(name);
  }

  async #leaders(topic: string): Promise<readonly number[] | undefined> {
    const known = this.#topics.get(topic);
    if (known?.every((leader) => leader >= 0)) return known;
    const [found] = await this.#ask([topic]);
    return found?.leaders;
  }

  /** Asks for the metadata of topics. Topics that do not exist are left out. */
  async #ask(names: readonly string[]): Promise<TopicMetadata[]> {
    const { brokers, topics } = await this.callAny(protocol.metadata(names));
    this.#brokers = brokers;
    const found = topics.filter(({ errorCode }) => errorCode !== code.UNKNOWN_TOPIC_OR_PARTITION);
    for (const { topic, errorCode, leaders } of found) {
      // A partition may answer LEADER_NOT_AVAILABLE too. Only calls to that partition must wait.
      if (errorCode !== 0 && errorCode !== code.LEADER_NOT_AVAILABLE)
        throw kafkaError(new ProtocolError('Metadata', errorCode, { topic }), `looking for ${topic}`);
      this.#topics.set(topic, leaders);
    }
    return found;
  }

  /** Every address that is known: those that do not answer last, and those that are connected first. */
  #addresses(): string[] {
    const now = Date.now();
    const rank = (address: string): number => {
      if ((this.#suspects.get(address) ?? 0) > now) return 2;
      return this.#connections.get(address)?.usable === true ? 0 : 1;
    };
    const all = new Set([...this.#options.brokers, ...this.#brokers.values()]);
    return [...all].sort((a, b) => rank(a) - rank(b));
  }

  async #connect(address: string): Promise<Connection> {
    if (this.#closed) throw closedError();
    let connection = this.#connections.get(address);
    if (connection?.usable !== true) {
      connection?.retire();
      connection = new Connection(address, { ...this.#options.connection, clientId: this.#options.clientId });
      this.#connections.set(address, connection);
    }
    await connection.ready;
    return connection;
  }
}

/** A broker's own refusal, or what no broker would answer otherwise. */
function isAnswer(error: unknown): boolean {
  return protocolCode(error) !== undefined || !(error instanceof HeadwaterError && error.retryable);
}

function closedError(cause?: unknown): HeadwaterError {
  return new HeadwaterError('unavailable', 'the connections to Kafka were closed', {
    cause,
    retryable: false,
  });
}
