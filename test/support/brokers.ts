import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../src/base/errors.ts';
import { headwaterDirectory } from '../../src/stack/contract.ts';
import { findJava } from '../../src/stack/local/java.ts';
import { clusterId, commonJavaFlags, properties } from '../../src/stack/local/kafka.ts';
import { runOnce } from '../../src/stack/local/run-once.ts';
import {
  endServer,
  isAlive,
  lastLines,
  plainEnvironment,
  send,
  startServer,
  type ServerProcess,
} from '../../src/stack/local/server-process.ts';
import { thisProcess } from '../../src/stack/local/stack-state.ts';
import { download, kafkaTool, toolFolder } from '../../src/stack/local/tools.ts';
import { freePort } from '../../src/stack/ports.ts';
import { probeKafka, waitUntilReady } from '../../src/stack/ready.ts';
import { makeCertificates } from './broker-certificate.ts';
import { BROKER_IDS, brokerProperties, dataFolder } from './broker-properties.ts';
import type { BrokerId, BrokerPorts, ClusterLayout, Security } from './broker-properties.ts';

const PREFIX = 'test-brokers-';
const STATE = 'brokers.json';
const START_MS = 180_000;
const JAVA_RELEASE = 21;

export interface BrokersOptions {
  readonly security?: Security;
  readonly settings?: Readonly<Record<string, string>>;
}

interface State {
  readonly owner: ServerProcess;
  readonly processes: Partial<Record<BrokerId, ServerProcess>>;
}

/**
 * Three Kafka brokers of one test, as processes of this machine. Their folder names them and their owner, so the next
 * cluster ends and removes the brokers of killed test runs.
 */
export class Brokers {
  /** The plain listeners, in the order of the ids. */
  readonly addresses: readonly string[];
  /** PEM file of the authority that signed the brokers' certificate, where there is security. */
  readonly certificate: string | undefined;
  readonly #java: string;
  readonly #layout: ClusterLayout;
  readonly #processes: Partial<Record<BrokerId, ServerProcess>> = {};
  readonly #frozen = new Set<BrokerId>();
  readonly #lost = new Set<BrokerId>();
  readonly #onExit = (): void => {
    for (const id of BROKER_IDS) this.#signal(id, 'SIGKILL');
  };

  private constructor(java: string, layout: ClusterLayout, certificate: string | undefined) {
    this.#java = java;
    this.#layout = layout;
    this.certificate = certificate;
    this.addresses = BROKER_IDS.map((id) => this.address(id));
  }

  /** Resolves when all three answer and know each other. */
  static async start({ security, settings = {} }: BrokersOptions = {}): Promise<Brokers> {
    await Brokers.sweep();
    const folder = join(headwaterDirectory, `${PREFIX}${randomBytes(4).toString('hex')}`);
    mkdirSync(join(folder, 'tmp'), { recursive: true });
    const { path: java } = await findJava(process.env, JAVA_RELEASE);
    const { signal } = new AbortController();
    const report = (): void => undefined;
    await download([kafkaTool], { directory: headwaterDirectory, env: process.env, signal, report });
    const ports = await clusterPorts();
    const certificate = security && (await makeCertificates(folder, java));
    const brokers = new Brokers(java, { folder, ports, security, settings }, certificate);
    process.on('exit', brokers.#onExit);
    try {
      await brokers.#format();
      await brokers.run(...BROKER_IDS);
      return brokers;
    } catch (error) {
      await brokers.stop();
      throw error;
    }
  }

  /** Ends and removes the clusters of killed test runs. */
  static async sweep(): Promise<void> {
    for (const name of globSync(`${PREFIX}*/${STATE}`, { cwd: headwaterDirectory })) {
      const file = join(headwaterDirectory, name);
      if (!existsSync(file)) continue; // another run removes it at the same time
      const { owner, processes } = JSON.parse(readFileSync(file, 'utf8')) as State;
      if (isAlive(owner)) continue;
      for (const server of Object.values(processes)) await endServer(server, 'SIGKILL');
      rmSync(dirname(file), { recursive: true, force: true, maxRetries: 5 });
    }
  }

  address(id: BrokerId): string {
    return `127.0.0.1:${this.#layout.ports[id].plain}`;
  }

  /** The listeners that ask for a login, over plain text or over TLS. */
  get loginAddresses(): { readonly plain: readonly string[]; readonly tls: readonly string[] } {
    const { ports } = this.#layout;
    return {
      plain: BROKER_IDS.map((id) => `127.0.0.1:${ports[id].sasl}`),
      tls: BROKER_IDS.map((id) => `127.0.0.1:${ports[id].tls}`),
    };
  }

  /** Of the brokers that run and are not frozen. */
  get answering(): readonly string[] {
    return BROKER_IDS.filter((id) => this.runs(id) && !this.#frozen.has(id)).map((id) => this.address(id));
  }

  runs(id: BrokerId): boolean {
    const server = this.#processes[id];
    return server !== undefined && isAlive(server);
  }

  pid(id: BrokerId): number | undefined {
    return this.#processes[id]?.pid;
  }

  /** Starts brokers that do not run. Resolves when each answers and its cluster has let it in. */
  async run(...ids: readonly BrokerId[]): Promise<void> {
    for (const id of ids) await this.#spawn(id);
    await Promise.all(ids.map((id) => this.#answers(id)));
  }

  /** Ends a broker and waits until it is gone: SIGKILL like a power failure, SIGTERM like an operator. */
  async end(id: BrokerId, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const server = this.#processes[id];
    if (server) await endServer(server, signal, 60_000);
    this.#frozen.delete(id);
  }

  async restart(id: BrokerId, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    await this.end(id, signal);
    await this.run(id);
  }

  /** Stops a broker: its connections stay open, and it does not answer. */
  freeze(id: BrokerId): void {
    this.#signal(id, 'SIGSTOP');
    this.#frozen.add(id);
  }

  thaw(id: BrokerId): void {
    this.#signal(id, 'SIGCONT');
    this.#frozen.delete(id);
  }

  /** Ends a broker and removes its data, so that the next one in its place is like a new machine. */
  async lose(id: BrokerId): Promise<void> {
    await this.end(id, 'SIGKILL');
    await this.#empty(id);
    this.#lost.add(id);
  }

  async stop(): Promise<void> {
    const running = BROKER_IDS.flatMap((id) => this.#processes[id] ?? []);
    await Promise.all(running.map((server) => endServer(server, 'SIGKILL')));
    process.off('exit', this.#onExit);
    rmSync(this.#layout.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async #spawn(id: BrokerId): Promise<void> {
    this.#processes[id] = await startServer(this.#command(id));
    const state: State = { owner: thisProcess(), processes: this.#processes };
    writeFileSync(join(this.#layout.folder, STATE), JSON.stringify(state));
  }

  async #answers(id: BrokerId): Promise<void> {
    const signal = AbortSignal.timeout(START_MS);
    for (;;) {
      try {
        const probe = (): Promise<void> => probeKafka(this.address(id));
        await waitUntilReady(`Kafka broker ${id}`, probe, signal, () => this.runs(id));
        this.#lost.delete(id);
        return;
      } catch (error) {
        const message = `${messageOf(error)} (${lastLines(this.#log(id))})`;
        if (!this.#lost.has(id) || this.runs(id) || signal.aborted)
          throw new Error(message, { cause: error });
      }
      // An empty controller ends when the others still take it for their leader: they need a moment to elect another one.
      await delay(500);
      await this.#empty(id);
      await this.#spawn(id);
    }
  }

  /** Formats once; the other brokers get copies, which saves a JVM for each. */
  async #format(): Promise<void> {
    const { folder, security } = this.#layout;
    for (const id of BROKER_IDS)
      writeFileSync(this.#config(id), properties(brokerProperties(id, this.#layout)));
    const users = (security?.users ?? []).flatMap(({ name, password }) =>
      ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
        '--add-scram',
        `${mechanism}=[name=${name},password=${password}]`,
      ]),
    );
    const parameters = ['format', '-t', clusterId(), '-c', this.#config(1), ...users];
    await runOnce(
      this.#java,
      ['-XX:TieredStopAtLevel=1', ...this.#flags(), 'kafka.tools.StorageTool', ...parameters],
      {
        env: process.env,
        signal: AbortSignal.timeout(START_MS),
        failure: "Kafka's storage was not formatted",
      },
    );
    await cp(dataFolder(1, folder), `${folder}/empty`, { recursive: true });
    for (const id of BROKER_IDS) await this.#empty(id);
  }

  /** A formatted data folder with an id of its own, which tells a lost one from its replacement. */
  async #empty(id: BrokerId): Promise<void> {
    const data = dataFolder(id, this.#layout.folder);
    await rm(data, { recursive: true, force: true });
    await cp(`${this.#layout.folder}/empty`, data, { recursive: true });
    const file = join(data, 'meta.properties');
    const text = await readFile(file, 'utf8');
    const fresh = text
      .replace(/^node\.id=.*$/m, `node.id=${id}`)
      .replace(/^directory\.id=.*$/m, `directory.id=${clusterId()}`);
    await writeFile(file, fresh);
  }

  #command(id: BrokerId): Parameters<typeof startServer>[0] {
    // A small heap: three of them run beside everything else. The second compiler costs more than it gives back in minutes.
    const memory = ['-Xms128m', '-Xmx320m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
    return {
      file: this.#java,
      parameters: [...memory, ...this.#flags(), 'kafka.Kafka', this.#config(id)],
      cwd: this.#layout.folder,
      env: plainEnvironment(process.env),
      log: this.#log(id),
      account: undefined,
    };
  }

  #flags(): string[] {
    const jars = join(toolFolder(headwaterDirectory, kafkaTool), '*');
    const log = '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn';
    return [...commonJavaFlags(this.#layout.folder), log, '-cp', jars];
  }

  #config(id: BrokerId): string {
    return join(this.#layout.folder, `broker-${id}.properties`);
  }

  #log(id: BrokerId): string {
    return join(this.#layout.folder, `broker-${id}.log`);
  }

  #signal(id: BrokerId, signal: NodeJS.Signals): void {
    const server = this.#processes[id];
    if (server) send(server, signal);
  }
}

async function clusterPorts(): Promise<Record<BrokerId, BrokerPorts>> {
  const taken = new Set<number>();
  const ports = async (): Promise<BrokerPorts> => ({
    plain: await freePort(taken),
    controller: await freePort(taken),
    sasl: await freePort(taken),
    tls: await freePort(taken),
  });
  return { 1: await ports(), 2: await ports(), 3: await ports() };
}
