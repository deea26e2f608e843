import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HeadwaterError } from '../../base/errors.ts';
import type { Java } from './java.ts';
import { commonJavaFlags } from './kafka.ts';
import { plainEnvironment, type ServerCommand } from './server-process.ts';
import type { Server, ServerOptions } from './server.ts';
import { REGISTRY_MODERN_JAVA, REGISTRY_VERSIONS } from './tools.ts';

export interface RegistryOptions extends ServerOptions {
  readonly port: number;
  readonly java: Java;
  readonly version: string;
  /** The folder of the unpacked registry. */
  readonly program: string;
}

/** The version that wrote the folder's data, else the newest version that this Java can run. */
export function registryVersion(folder: string, java: Java): string {
  const mark = join(folder, 'registry', 'version');
  if (existsSync(mark)) return readFileSync(mark, 'utf8').trim();
  return java.release >= REGISTRY_MODERN_JAVA ? REGISTRY_VERSIONS.modern : REGISTRY_VERSIONS.java17;
}

/**
 * H2 stores the schemas in a file, not in memory: records in Kafka name schema ids, so an id must not mean another schema
 * after a restart. With WRITE_DELAY=0 a registered schema survives a kill; the default can lose the last half second.
 * (Apicurio's storage in Kafka starts ten times as slowly.)
 */
export function registryEnvironment(options: { port: number; data: string }): Record<string, string> {
  const url = `jdbc:h2:file:${join(options.data, 'registry')};WRITE_DELAY=0;DB_CLOSE_ON_EXIT=FALSE`;
  return {
    QUARKUS_HTTP_HOST: '127.0.0.1',
    QUARKUS_HTTP_PORT: String(options.port),
    QUARKUS_MANAGEMENT_HOST: '127.0.0.1',
    QUARKUS_MANAGEMENT_PORT: '0',
    QUARKUS_LOG_LEVEL: 'WARN',
    // 3.x
    APICURIO_DATASOURCE_URL: url,
    APICURIO_DATASOURCE_JDBC_INITIAL_SIZE: '2',
    APICURIO_DATASOURCE_JDBC_MIN_SIZE: '2',
    APICURIO_STORAGE_SNAPSHOT_LOCATION: options.data,
    // 2.6
    REGISTRY_DATASOURCE_URL: url,
    QUARKUS_DATASOURCE_JDBC_INITIAL_SIZE: '2',
    QUARKUS_DATASOURCE_JDBC_MIN_SIZE: '2',
  };
}

export class RegistryServer implements Server {
  readonly title: string;
  readonly #options: RegistryOptions;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.title = `Schema registry (Apicurio ${options.version})`;
  }

  obstacle(): string | undefined {
    const { version, java } = this.#options;
    if (version !== REGISTRY_VERSIONS.modern || java.release >= REGISTRY_MODERN_JAVA) return undefined;
    return `The schemas in ${this.#data()} were written by Apicurio ${version}, which needs Java ${String(REGISTRY_MODERN_JAVA)}; found is ${String(java.release)}: set JAVA_HOME.`;
  }

  prepare(): Promise<void> {
    mkdirSync(this.#data(), { recursive: true });
    mkdirSync(join(this.#options.folder, 'tmp'), { recursive: true });
    writeFileSync(join(this.#data(), 'version'), `${this.#options.version}\n`);
    return Promise.resolve();
  }

  command(): ServerCommand {
    const { folder, port, java, env } = this.#options;
    return {
      file: java.path,
      parameters: ['-Xmx384m', '-XX:TieredStopAtLevel=1', ...commonJavaFlags(folder), '-jar', this.#jar()],
      cwd: folder,
      env: { ...plainEnvironment(env), ...registryEnvironment({ port, data: this.#data() }) },
      log: join(folder, 'logs', 'registry.log'),
      account: undefined,
    };
  }

  afterStart(): Promise<void> {
    return Promise.resolve();
  }

  #data(): string {
    return join(this.#options.folder, 'registry');
  }

  #jar(): string {
    const [jar] = globSync(['quarkus-run.jar', '*-runner.jar'], { cwd: this.#options.program });
    if (jar === undefined)
      throw new HeadwaterError('corrupt', `${this.#options.program} is incomplete: delete it`);
    return join(this.#options.program, jar);
  }
}
