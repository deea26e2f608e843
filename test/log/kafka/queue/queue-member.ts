// A member of a group in a process of its own, for tests that kill it. Says what it is handling; a record whose value is
// `wait` is handled when the parent says `finish`.
import { createKafka } from '../../../../src/log/kafka/kafka-client.ts';
import { KafkaWorkQueue } from '../../../../src/log/kafka/queue/work-queue.ts';
import type { MemberOptions } from '../../../contract/work-queue.ts';

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
const { topic, group, outcomes, name, brokers, prefix } = JSON.parse(
  process.argv[2] ?? '{}',
) as MemberOptions & {
  readonly brokers: readonly string[];
  readonly prefix: string;
};
const finished = new Map<string, PromiseWithResolvers<void>>();

function finishOf(key: string): PromiseWithResolvers<void> {
  const known: PromiseWithResolvers<void> = finished.get(key) ?? Promise.withResolvers();
  finished.set(key, known);
  return known;
}

process.on('message', ({ finish }: { finish: string }) => {
  finishOf(finish).resolve();
});
process.on('disconnect', () => process.exit());

const queue = new KafkaWorkQueue({
  kafka: createKafka({ brokers, clientId: name }, silent),
  cluster: { brokers, clientId: name },
  prefix,
  logger: silent,
});
await queue.run(
  { topics: [topic], group, concurrency: 4, onAssigned: () => process.send?.({ assigned: true }) },
  async ({ key, value }) => {
    process.send?.({ handling: key });
    if (value.toString() === 'wait') await finishOf(key).promise;
    return [{ topic: outcomes, key, value: Buffer.from(name) }];
  },
  new AbortController().signal,
);
