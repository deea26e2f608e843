// `npm run bench:clients`: the same append by our producer, kafkajs and @platformatic/kafka, each in a process of its own, by turns.
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { Command } from 'commander';
import kafkajs from 'kafkajs';
import type { Message } from 'kafkajs';
import { createKafka } from '../src/log/kafka/kafka-client.ts';
import { CaptureAppender } from '../src/log/kafka/append/capture-appender.ts';
import { startStack } from '../src/stack/stack.ts';
import { sampleLines } from '../test/support/sample.ts';
import { median } from './statistics.ts';

const compress = promisify(zstdCompress);
/** As our producer compresses. */
const LEVEL_1 = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
const PARTITIONS = 4;
const TRANSACTION_BYTES = 32 << 20;
const FLUSH_BYTES = 8 << 20;
const CLIENTS = ['ours', 'kafkajs', 'platformatic'] as const;
type Client = (typeof CLIENTS)[number];

interface Measured {
  /** Resident size after the client was loaded and connected, in MB. */
  readonly loaded: number;
  readonly peak: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly records: number;
  readonly bytes: number;
}

interface Writer {
  add(key: string, value: Buffer): void;
  flush(): Promise<void>;
  commit(): Promise<void>;
  close(): Promise<void>;
}

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

const [role = '', client = '', topic = '', brokers = '', copies = ''] = process.argv.slice(2);
async function compare(): Promise<void> {
  const options = new Command('npm run bench:clients --')
    .description(
      'Appends the bundled resources, zstd-compressed and in transactions, with three clients by turns. Prints a table of medians.',
    )
    .option('--rounds <n>', 'runs of each client', Number, 3)
    .option('--copies <n>', 'how often the 4 727 resources are appended', Number, 20)
    .parse()
    .opts<{ rounds: number; copies: number }>();
  const stack = await startStack({ purpose: 'tests', report: (line) => console.error(line) });
  try {
    const { kafkaBrokers } = stack.addresses;
    const runs = new Map<Client, Measured[]>(CLIENTS.map((name) => [name, []]));
    for (let round = 0; round < options.rounds; round++)
      for (const [name, list] of runs) list.push(await inProcess(name, kafkaBrokers, options.copies));
    print(runs);
  } finally {
    await stack.stop();
  }
}

async function inProcess(name: Client, brokers: readonly string[], copies: number): Promise<Measured> {
  const topic = `bench-${name}-${randomBytes(4).toString('hex')}`;
  const admin = createKafka({ brokers: [...brokers], clientId: 'bench' }, SILENT).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }] });
  const child = fork(import.meta.filename, ['measure', name, topic, brokers.join(), String(copies)]);
  const measured = await new Promise<Measured>((resolve, reject) => {
    child.once('message', (message) => resolve(message as Measured));
    child.once('exit', (code) => reject(new Error(`the process of ${name} ended with ${String(code)}`)));
  });
  // Readers see the last transaction once its markers are written, which is after its commit is answered.
  let stored = 0;
  for (let attempt = 0; stored < measured.records && attempt < 50; attempt++) {
    if (attempt > 0) await delay(100);
    stored = (await admin.fetchTopicOffsets(topic)).reduce((sum, { high }) => sum + Number(high), 0);
  }
  if (stored < measured.records) throw new Error(`${name} stored ${stored} of ${measured.records} records`);
  await admin.deleteTopics({ topics: [topic] });
  await admin.disconnect();
  return measured;
}

async function measure(
  name: Client,
  { topic, brokers, copies }: { topic: string; brokers: string[]; copies: number },
): Promise<Measured> {
  const resources = [...sampleLines().values()].flat().map((line) => Buffer.from(line));
  const writer = await WRITERS[name](brokers, topic);
  const loaded = process.memoryUsage.rss() / 1e6;
  const [cpu, begun] = [process.cpuUsage(), performance.now()];
  let [records, bytes, pending, open] = [0, 0, 0, 0];
  for (let copy = 0; copy < copies; copy++) {
    for (const value of resources) {
      writer.add(`${copy}/${records++}`, value);
      bytes += value.length;
      pending += value.length;
      if (pending < FLUSH_BYTES) continue;
      open += pending;
      pending = 0;
      if (open < TRANSACTION_BYTES) await writer.flush();
      else {
        open = 0;
        await writer.commit();
      }
    }
  }
  await writer.commit();
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - begun) / 1_000;
  await writer.close();
  const peak = process.resourceUsage().maxRSS / 1_000;
  return { loaded, peak, seconds, cpuSeconds: (user + system) / 1e6, records, bytes };
}

const WRITERS: Record<Client, (brokers: string[], topic: string) => Promise<Writer>> = {
  ours: async (brokers, topic) => {
    const appender = await CaptureAppender.open({ brokers, clientId: 'bench' }, topic);
    appender.declare(topic, Array<number>(PARTITIONS).fill(0));
    return {
      add: (key, value) => appender.add(topic, { timestamp: 1, key: Buffer.from(key), value }),
      flush: () => appender.flush(),
      commit: () => appender.commit(),
      close: () => appender.close(),
    };
  },
  kafkajs: async (brokers, topic) => {
    kafkajs.CompressionCodecs[kafkajs.CompressionTypes.ZSTD] = () => ({
      compress: ({ buffer }: { buffer: Buffer }) => compress(buffer, LEVEL_1),
      decompress: (buffer: Buffer) => promisify(zstdDecompress)(buffer),
    });
    const producer = createKafka({ brokers, clientId: 'bench' }, SILENT).producer({
      transactionalId: topic,
      maxInFlightRequests: 1,
      idempotent: true,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    let transaction: Awaited<ReturnType<typeof producer.transaction>> | undefined;
    let messages: Message[] = [];
    const flush = async (): Promise<void> => {
      transaction ??= await producer.transaction();
      if (messages.length > 0)
        await transaction.send({ topic, messages, compression: kafkajs.CompressionTypes.ZSTD });
      messages = [];
    };
    return {
      add: (key, value) => messages.push({ key, value }),
      flush,
      commit: async () => {
        await flush();
        await transaction?.commit();
        transaction = undefined;
      },
      close: () => producer.disconnect(),
    };
  },
  platformatic: async (bootstrapBrokers, topic) => {
    const { Producer } = await import('@platformatic/kafka');
    const producer = new Producer({
      clientId: 'bench',
      bootstrapBrokers,
      transactionalId: topic,
      idempotent: true,
      compression: 'zstd',
    });
    let transaction: Awaited<ReturnType<typeof producer.beginTransaction>> | undefined;
    let messages: { topic: string; key: Buffer; value: Buffer }[] = [];
    const flush = async (): Promise<void> => {
      transaction ??= await producer.beginTransaction();
      if (messages.length > 0) await transaction.send({ messages });
      messages = [];
    };
    return {
      add: (key, value) => messages.push({ topic, key: Buffer.from(key), value }),
      flush,
      commit: async () => {
        await flush();
        await transaction?.commit();
        transaction = undefined;
      },
      close: () => producer.close(),
    };
  },
};

function print(runs: ReadonlyMap<Client, readonly Measured[]>): void {
  console.log('| Client | records/s | MB/s | CPU s per 100 000 records | RSS loaded, MB | peak, MB |');
  console.log('| --- | --- | --- | --- | --- | --- |');
  for (const [name, list] of runs) {
    const of = (value: (one: Measured) => number): number => median(list.map(value));
    const figures = [
      of(({ records, seconds }) => records / seconds).toFixed(0),
      of(({ bytes, seconds }) => bytes / 1e6 / seconds).toFixed(0),
      of(({ cpuSeconds, records }) => (cpuSeconds * 1e5) / records).toFixed(2),
      of(({ loaded }) => loaded).toFixed(0),
      of(({ peak }) => peak).toFixed(0),
    ];
    console.log(`| ${[name, ...figures].join(' | ')} |`);
  }
}

if (role === 'measure')
  process.send?.(
    await measure(client as Client, { topic, brokers: brokers.split(','), copies: Number(copies) }),
  );
else await compare();
