import type { StartedTestContainer } from 'testcontainers';
import type { StoreServer } from './store-process.ts';
import { until } from './until.ts';

/** An object store as an image of compose/compose.yaml; a test compares them. */
export interface StoreImage {
  readonly image: string;
  /** Port in the container. */
  readonly port: number;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export const STORE_IMAGES = {
  s3: 'versity/versitygw:v1.8.0',
  azure: 'mcr.microsoft.com/azure-storage/azurite:3.35.0',
  gcs: 'fsouza/fake-gcs-server:1.56.1',
} as const;

/** An object store of the tests in a container. testcontainers removes the containers of killed test runs. */
export class StoreContainer implements StoreServer {
  /** A container has no process of this machine. */
  readonly pid = 0;
  readonly #container: StartedTestContainer;
  readonly #url: string;

  private constructor(container: StartedTestContainer, url: string) {
    this.#container = container;
    this.#url = url;
  }

  /** @param hostPort fixed, because a restarted container would get another port and signatures name it */
  static async start(
    { image, port, command, env }: StoreImage,
    hostPort: number,
    url: string,
  ): Promise<StoreContainer> {
    const { GenericContainer } = await import('testcontainers');
    const container = await new GenericContainer(image)
      .withExposedPorts({ container: port, host: hostPort })
      .withEnvironment(env)
      .withCommand([...command])
      .start();
    const store = new StoreContainer(container, url);
    await store.#answers();
    return store;
  }

  async kill(): Promise<void> {
    await (await this.#engine()).kill();
  }

  async end(): Promise<void> {
    await (await this.#engine()).stop();
  }

  /** Starts the server, which has its data again. */
  async restart(): Promise<void> {
    await (await this.#engine()).start();
    await this.#answers();
  }

  async stop(): Promise<void> {
    await this.#container.stop({ removeVolumes: true });
  }

  async #engine() {
    const client = await (await import('testcontainers')).getContainerRuntimeClient();
    return client.container.getById(this.#container.getId());
  }

  async #answers(): Promise<void> {
    await until('the object store to answer', async () => {
      await (await fetch(this.#url)).body?.cancel();
      return true;
    });
  }
}
