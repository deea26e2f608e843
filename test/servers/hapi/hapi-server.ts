import { freePort } from '../../../src/stack/ports.ts';
import { QUICK_START } from '../../support/jdk.ts';
import { StoreProcess } from '../../support/store-process.ts';
import { hapiProgram } from './hapi-tool.ts';

export interface HapiOptions {
  /** An empty database, or one of an earlier server. */
  readonly databaseUrl: string;
  /** VERSIONED, as HAPI itself, when it is left out. */
  readonly tags?: 'VERSIONED' | 'NON_VERSIONED' | 'INLINE';
  /** Whether HAPI keeps earlier versions; true when it is left out. */
  readonly history?: boolean;
  /** The zone in which HAPI writes timestamps; UTC when it is left out. */
  readonly timeZone?: string;
}

export interface HapiAnswer {
  readonly status: number;
  readonly body: string;
}

/** A HAPI FHIR JPA server, as a process of this machine. It has 1 GiB of heap. */
export class HapiServer {
  /** `http://127.0.0.1:PORT/fhir` */
  readonly url: string;
  readonly #process: StoreProcess;

  private constructor(url: string, process: StoreProcess) {
    this.url = url;
    this.#process = process;
  }

  /** Resolves when `/metadata` answers, after about 20 s. HAPI makes its tables in an empty database. */
  static async start(options: HapiOptions): Promise<HapiServer> {
    const { java, classPath } = await hapiProgram();
    const port = await freePort();
    const url = `http://127.0.0.1:${port}/fhir`;
    const flags = [...QUICK_START, '-Xmx1g', ...properties(port, options), '-cp', classPath];
    const command = { file: java, parameters: [...flags, 'HapiServer'] };
    const server = new HapiServer(url, await StoreProcess.start(() => command, `${url}/metadata`));
    const { status, body } = await server.request('GET', 'metadata');
    if (status === 200) return server;
    await server.stop();
    throw new Error(`HAPI answers its metadata with ${status}: ${body.slice(0, 600)}`);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** @param path below the base URL, without a slash before it */
  async request(
    method: string,
    path: string,
    resource?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<HapiAnswer> {
    const answer = await fetch(`${this.url}/${path}`, {
      method,
      headers: { 'content-type': 'application/fhir+json', accept: 'application/fhir+json', ...headers },
      ...(resource !== undefined && { body: JSON.stringify(resource) }),
    });
    return { status: answer.status, body: await answer.text() };
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}

function properties(port: number, { databaseUrl, tags, history, timeZone }: HapiOptions): string[] {
  const { host, pathname, username, password } = new URL(databaseUrl);
  return Object.entries({
    'user.timezone': timeZone ?? 'UTC',
    'org.slf4j.simpleLogger.defaultLogLevel': 'error',
    'hapi.port': String(port),
    'hapi.url': `jdbc:postgresql://${host}${pathname}`,
    'hapi.user': decodeURIComponent(username),
    'hapi.password': decodeURIComponent(password),
    'hapi.tags': tags ?? 'VERSIONED',
    'hapi.history': String(history ?? true),
  }).map(([name, value]) => `-D${name}=${value}`);
}
