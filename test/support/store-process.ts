import { randomBytes } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { headwaterDirectory } from '../../src/stack/contract.ts';
import {
  endServer,
  isAlive,
  lastLines,
  plainEnvironment,
  send,
  startServer,
} from '../../src/stack/local/server-process.ts';
import type { ServerProcess } from '../../src/stack/local/server-process.ts';
import { thisProcess } from '../../src/stack/local/stack-state.ts';
import { until } from './until.ts';

const PREFIX = 'test-store-';
const STATE = 'store.json';

export interface StoreCommand {
  readonly file: string;
  readonly parameters: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** An object store that a test may take away. */
export interface StoreServer {
  /** 0 where it is no process of this machine. */
  readonly pid: number;
  /** Ends it without warning. */
  kill(): Promise<void>;
  /** Ends it as an operator does, so that it keeps its data. */
  end(): Promise<void>;
  /** Starts it again. Resolves when it answers. */
  restart(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/**
 * An object store of the tests, as a process of this machine. Its folder names it and its owner, so the next one ends and removes
 * the stores of killed test runs.
 */
export class StoreProcess implements StoreServer {
  readonly folder: string;
  readonly #command: StoreCommand;
  readonly #url: string;
  #process: ServerProcess | undefined;
  readonly #onExit = (): void => {
    if (this.#process) send(this.#process, 'SIGKILL');
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  };

  private constructor(folder: string, command: StoreCommand, url: string) {
    this.folder = folder;
    this.#command = command;
    this.#url = url;
  }

  /** @param url the server is ready when it answers there, with any status */
  static async start(commandIn: (folder: string) => StoreCommand, url: string): Promise<StoreProcess> {
    await sweep();
    const folder = join(headwaterDirectory, `${PREFIX}${randomBytes(4).toString('hex')}`);
    mkdirSync(join(folder, 'data'), { recursive: true });
    const store = new StoreProcess(folder, commandIn(folder), url);
    process.on('exit', store.#onExit);
    await store.restart();
    return store;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  async kill(): Promise<void> {
    if (this.#process) await endServer(this.#process, 'SIGKILL');
  }

  /** Ends the server as an operator does, so that it keeps its data. */
  async end(): Promise<void> {
    if (this.#process) await endServer(this.#process, 'SIGTERM');
  }

  /** Starts the server, which has its data again. */
  async restart(): Promise<void> {
    await this.kill();
    const log = join(this.folder, 'store.log');
    const { file, parameters, env } = this.#command;
    const server = await startServer({
      file,
      parameters,
      cwd: this.folder,
      env: { ...plainEnvironment(process.env), ...env },
      log,
      account: undefined,
    });
    this.#process = server;
    writeFileSync(join(this.folder, STATE), JSON.stringify({ owner: thisProcess(), server }));
    await until('the object store to answer', async () => {
      if (!isAlive(server)) throw new Error(`it has ended: ${lastLines(log)}`);
      await (await fetch(this.#url)).body?.cancel();
      return true;
    });
  }

  /** Ends the server and removes its data. */
  async stop(): Promise<void> {
    await this.kill();
    process.off('exit', this.#onExit);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Ends and removes the stores of killed test runs. */
async function sweep(): Promise<void> {
  for (const name of globSync(`${PREFIX}*/${STATE}`, { cwd: headwaterDirectory })) {
    const file = join(headwaterDirectory, name);
    if (!existsSync(file)) continue; // another run removes it at the same time
    const { owner, server } = JSON.parse(readFileSync(file, 'utf8')) as {
      owner: ServerProcess;
      server: ServerProcess;
    };
    if (isAlive(owner)) continue;
    await endServer(server, 'SIGKILL');
    rmSync(dirname(file), { recursive: true, force: true, maxRetries: 5 });
  }
}
