import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Java } from './java.ts';
import { runOnce } from './run-once.ts';
import { plainEnvironment, type ServerCommand } from './server-process.ts';
import type { Server, ServerOptions } from './server.ts';
import { KAFKA_VERSION } from './tools.ts';

export interface KafkaOptions extends ServerOptions {
  readonly port: number;
  readonly controllerPort: number;
  readonly java: Java;
  /** The folder of Kafka's jars. */
  readonly jars: string;
}

/** A message may be larger than any resource topic allows (16 MiB), so that the topic's own limit decides. */
const MAX_MESSAGE_BYTES = 33_554_432;

/** Properties of every broker, in a cluster of any size. */
export const COMMON_PROPERTIES = {
  'auto.create.topics.enable': 'false',
  'message.max.bytes': String(MAX_MESSAGE_BYTES),
  'replica.fetch.max.bytes': String(MAX_MESSAGE_BYTES),
  'log.cleaner.enable': 'true',
  'log.cleaner.backoff.ms': '500',
  'log.retention.ms': '-1', // every topic sets its own retention
  'group.initial.rebalance.delay.ms': '0',
};

/** The controller admits a killed broker again when its old session has expired. The default of 9 s is too long for fault tests. */
export const TEST_PROPERTIES = {
  'broker.session.timeout.ms': '3000',
  'broker.heartbeat.interval.ms': '500',
};

export interface PropertiesOptions {
  readonly port: number;
  readonly controllerPort: number;
  readonly data: string;
  readonly purpose: 'people' | 'tests';
}

/** One KRaft node that is broker and controller. */
export function kafkaProperties(options: PropertiesOptions): string {
  const broker = `127.0.0.1:${String(options.port)}`;
  const controller = `127.0.0.1:${String(options.controllerPort)}`;
  return properties({
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@${controller}`,
    listeners: `PLAINTEXT://${broker},CONTROLLER://${controller}`,
    'advertised.listeners': `PLAINTEXT://${broker}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': options.data,
    ...COMMON_PROPERTIES,
    'offsets.topic.num.partitions': '5',
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.num.partitions': '5',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    ...(options.purpose === 'tests' && TEST_PROPERTIES),
  });
}

/** Text of a Java properties file: escapes backslashes and characters beyond printable ASCII. */
export function properties(entries: Record<string, string>): string {
  const escape = (value: string): string =>
    value
      .replaceAll('\\', '\\\\')
      .replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return Object.entries(entries)
    .map(([name, value]) => `${name}=${escape(value)}\n`)
    .join('');
}

/** Flags for every JVM of the stack: no shared memory file in /tmp, temporary files in the stack's folder. */
export function commonJavaFlags(folder: string): string[] {
  return ['-XX:-UsePerfData', '-Dfile.encoding=UTF-8', `-Djava.io.tmpdir=${join(folder, 'tmp')}`];
}

/** 16 bytes in base64url. The first letter is never "-", because the formatter would read it as an option. */
export function clusterId(random: Buffer = randomBytes(16)): string {
  random[0] = (random[0] ?? 0) & 0x7f;
  return random.toString('base64url');
}

export class KafkaServer implements Server {
  readonly title = `Kafka ${KAFKA_VERSION}`;
  readonly #options: KafkaOptions;

  constructor(options: KafkaOptions) {
    this.#options = options;
  }

  obstacle(): string | undefined {
    // Kafka splits the list of data folders at commas
    return this.#options.folder.includes(',')
      ? `Kafka cannot use ${this.#options.folder}: its path has a comma.`
      : undefined;
  }

  async prepare(signal: AbortSignal): Promise<void> {
    const { port, controllerPort, purpose, folder, java, env } = this.#options;
    const data = this.#data();
    mkdirSync(data, { recursive: true });
    mkdirSync(join(folder, 'tmp'), { recursive: true });
    writeFileSync(this.#config(), kafkaProperties({ port, controllerPort, data, purpose }));
    if (existsSync(join(data, 'meta.properties'))) return;
    const parameters = ['format', '-t', clusterId(), '-c', this.#config()];
    await runOnce(
      java.path,
      [
        '-XX:TieredStopAtLevel=1',
        ...this.#flags(),
        '-cp',
        join(this.#options.jars, '*'),
        'kafka.tools.StorageTool',
        ...parameters,
      ],
      { env, signal, failure: "Kafka's storage was not formatted" },
    );
  }

  command(): ServerCommand {
    const { folder, purpose, java, env } = this.#options;
    // In a test run of a minute, the second compiler costs more CPU than it saves. In a server that keeps running it saves CPU.
    const compiler = purpose === 'tests' ? ['-XX:TieredStopAtLevel=1'] : [];
    const memory = ['-Xms256m', '-Xmx512m', ...compiler];
    return {
      file: java.path,
      parameters: [
        ...memory,
        ...this.#flags(),
        '-cp',
        join(this.#options.jars, '*'),
        'kafka.Kafka',
        this.#config(),
      ],
      cwd: folder,
      env: plainEnvironment(env),
      log: join(folder, 'logs', 'kafka.log'),
      account: undefined,
    };
  }

  afterStart(): Promise<void> {
    return Promise.resolve();
  }

  #flags(): string[] {
    return [...commonJavaFlags(this.#options.folder), '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'];
  }

  #data(): string {
    return join(this.#options.folder, 'kafka');
  }

  #config(): string {
    return join(this.#options.folder, 'kafka.properties');
  }
}
