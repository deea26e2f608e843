import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import kafkajs from 'kafkajs';
import type { Admin, Kafka } from 'kafkajs';
import type { LogReader, Publisher, WorkQueue } from '../../../src/log/log.ts';
import { createKafka } from '../../../src/log/kafka/kafka-client.ts';
import { KafkaPublisher } from '../../../src/log/kafka/append/publisher.ts';
import { RangeReader } from '../../../src/log/kafka/read/range-reader.ts';
import { KafkaWorkQueue } from '../../../src/log/kafka/queue/work-queue.ts';
import { offset } from '../../../src/base/positions.ts';
import type { Member, MemberOptions, QueueHarness } from '../../contract/work-queue.ts';
import { uniqueName } from '../../support/names.ts';
import { sharedStack } from '../../support/stack.ts';

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** The Kafka adapters of the log on the servers of this run, and what removes their traces. */
export class LogFixture implements QueueHarness {
  readonly kafka: Kafka;
  readonly brokers: readonly string[];
  readonly prefix = uniqueName('log');
  readonly publisher: Publisher;
  readonly reader: LogReader;
  readonly #topics = new Set<string>();
  readonly #members = new Set<ChildProcess>();

  constructor() {
    this.brokers = sharedStack().kafkaBrokers;
    this.kafka = createKafka({ brokers: this.brokers, clientId: 'test' }, silent);
    this.publisher = new KafkaPublisher({ brokers: this.brokers, clientId: 'test' });
    this.reader = new RangeReader({ brokers: this.brokers, clientId: 'test' });
  }

  queue(): WorkQueue {
    return new KafkaWorkQueue({
      kafka: this.kafka,
      cluster: { brokers: this.brokers, clientId: 'test' },
      prefix: this.prefix,
      logger: silent,
    });
  }

  async newTopic(partitions: number, config: Readonly<Record<string, string>> = {}): Promise<string> {
    const topic = uniqueName('topic');
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    await this.#administer((admin) =>
      admin.createTopics({ topics: [{ topic, numPartitions: partitions, configEntries }] }),
    );
    this.#topics.add(topic);
    return topic;
  }

  async deleteTopic(topic: string): Promise<void> {
    this.#topics.delete(topic);
    await this.#administer((admin) => admin.deleteTopics({ topics: [topic] }));
  }

  /** Deletes a topic and makes another of the same name, with one partition. */
  async makeAgain(topic: string): Promise<void> {
    await this.deleteTopic(topic);
    await this.#administer((admin) => admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }));
    this.#topics.add(topic);
  }

  /** Everything committed so far, partition after partition, each in order. */
  async committed(topic: string): Promise<{ key: string; value: string; partition: number }[]> {
    const found: { key: string; value: string; partition: number }[] = [];
    const ends = await this.reader.ends(topic);
    for (const [partition, to] of ends.entries()) {
      const range = { topic, partition, from: offset(0), to };
      for await (const records of this.reader.read(range, AbortSignal.timeout(20_000))) {
        for (const { key, value } of records)
          found.push({ key: key.toString(), value: value.toString(), partition });
      }
    }
    return found;
  }

  async *follow(topic: string, partition: number, signal: AbortSignal): AsyncIterable<string> {
    for await (const records of this.reader.follow({ topic, partition, offset: offset(0) }, signal)) {
      for (const { key } of records) yield key.toString();
    }
  }

  /** A member of a group in a process of its own. */
  async member(options: MemberOptions): Promise<Member> {
    const settings = JSON.stringify({ ...options, brokers: this.brokers, prefix: this.prefix });
    const child = fork(join(import.meta.dirname, 'queue', 'queue-member.ts'), [settings]);
    this.#members.add(child);
    const exited = once(child, 'exit').then(() => undefined);
    const handling: string[] = [];
    const waiting = new Set<() => void>();
    child.on('message', (message: { assigned?: boolean; handling?: string }) => {
      if (message.handling !== undefined) handling.push(message.handling);
      for (const wake of waiting) wake();
    });
    const until = async (done: () => boolean): Promise<void> => {
      while (!done()) {
        const { promise, resolve }: PromiseWithResolvers<void> = Promise.withResolvers();
        waiting.add(resolve);
        await Promise.race([promise, exited.then(() => Promise.reject(new Error('the member has ended')))]);
        waiting.delete(resolve);
      }
    };
    let assigned = false;
    child.on('message', (message: { assigned?: boolean }) => (assigned ||= message.assigned === true));
    await until(() => assigned || handling.length > 0);
    return {
      handling,
      until,
      finish: (key) => child.send({ finish: key }),
      kill: async () => {
        child.kill('SIGKILL');
        await exited;
      },
      freeze: () => child.kill('SIGSTOP'),
      thaw: () => child.kill('SIGCONT'),
    };
  }

  /** A producer that pretends to be an earlier holder of a partition. */
  async zombie(group: string, topic: string, partition: number) {
    const producer = this.kafka.producer({
      transactionalId: `${this.prefix}-${group}-${topic}-${partition}`,
      idempotent: true,
      maxInFlightRequests: 1,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    return producer;
  }

  async close(): Promise<void> {
    for (const child of this.#members) child.kill('SIGKILL');
    await this.publisher.close();
    await this.reader.close();
    await this.#administer((admin) => admin.deleteTopics({ topics: [...this.#topics] }));
  }

  async #administer(work: (admin: Admin) => Promise<unknown>): Promise<void> {
    const admin = this.kafka.admin();
    await admin.connect();
    await work(admin);
    await admin.disconnect();
  }
}
