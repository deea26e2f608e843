import { createRequire } from 'node:module';
import { createKafka } from '../../../../src/log/kafka/kafka-client.ts';

/*
 * A process of its own, since what it tests would take the event loop for good: the parts of a kafkajs consumer that fetch,
 * stopped while they are rebuilt because a broker has left the metadata. Ends with 0 when its event loop still turns.
 */
const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
const log = { ...silent, namespace: () => log };
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface FetchManager {
  start(): Promise<void>;
  stop(): Promise<void>;
}
interface Runner {
  running: boolean;
  consumerGroup: object;
  fetch(nodeId: string): Promise<unknown>;
}

createKafka({ brokers: ['127.0.0.1:1'], clientId: 'test' }, silent); // mends kafkajs
const require = createRequire(import.meta.url);
const createFetchManager = require('kafkajs/src/consumer/fetchManager') as (options: object) => FetchManager;
const { prototype } = require('kafkajs/src/consumer/runner') as { prototype: Runner };

let ids = ['1', '2', '3'];
const runner = Object.create(prototype) as Runner;
Object.assign(runner, {
  logger: log,
  running: true,
  instrumentationEmitter: { emit: () => undefined },
  heartbeat: () => Promise.resolve(),
  consumerGroup: {
    fetch: async (id: string) => {
      await sleep(id === '1' ? 300 : 20);
      return [];
    },
  },
});
const manager = createFetchManager({
  logger: log,
  getNodeIds: () => ids,
  concurrency: 1,
  handler: () => Promise.resolve(),
  fetch: (id: string) => runner.fetch(id),
});
manager.start().catch(() => undefined);
setTimeout(() => (ids = ['1', '2']), 50); // the fetchers are to be rebuilt; that waits for the fetch from broker 1
setTimeout(() => {
  runner.running = false;
  void manager.stop();
}, 150);
setTimeout(() => process.exit(0), 1_000);
