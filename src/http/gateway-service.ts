import { once } from 'node:events';
import type { Server } from 'node:http';
import type Koa from 'koa';
import { sleep } from '../base/clock.ts';
import { HeadwaterError, isAbort } from '../base/errors.ts';
import type { HealthReporter, Logger, Service } from '../base/service.ts';
import type { Settings } from '../config/settings.ts';
import { createHttpServer } from './http-server.ts';

export interface GatewayServiceOptions {
  readonly app: Koa;
  readonly settings: Pick<Settings, 'httpHost' | 'httpPort'>;
  /** The setting that names the port. */
  readonly portSetting?: string;
  readonly health: HealthReporter;
  readonly logger: Logger;
}

/** Time in ms that running downloads get when the service stops. A process ends within 10 s. */
const GRACE_MS = 5_000;

/** Listens until the signal fires. Then it accepts no more connections, lets running requests end, and cuts the rest after a time. */
export function gatewayService({
  app,
  settings,
  portSetting = 'HEADWATER_HTTP_PORT',
  health,
  logger,
}: GatewayServiceOptions): Service {
  return {
    name: 'gateway',
    run: async (signal) => {
      const handle = app.callback();
      const server = createHttpServer((request, response) => void handle(request, response));
      await listen(server, settings, portSetting);
      health.ready();
      logger.info({ host: settings.httpHost, port: settings.httpPort }, 'gateway listens');
      try {
        await once(server, 'close', { signal });
      } catch (error) {
        if (!isAbort(error, signal)) throw error;
      } finally {
        await close(server);
      }
    },
  };
}

async function listen(
  server: Server,
  { httpHost, httpPort }: GatewayServiceOptions['settings'],
  portSetting: string,
): Promise<void> {
  server.listen(httpPort, httpHost);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      throw new HeadwaterError(
        'bad-config',
        `port ${String(httpPort)} is in use; set ${portSetting} to a free one`,
        { cause },
      );
    }
    throw new HeadwaterError(
      'bad-config',
      `HEADWATER_HTTP_HOST ${httpHost}: cannot listen there (${String(code)})`,
      { cause },
    );
  }
}

async function close(server: Server): Promise<void> {
  const grace = new AbortController();
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const cut = sleep(GRACE_MS, grace.signal).then(
    () => server.closeAllConnections(),
    () => undefined,
  );
  await closed;
  grace.abort();
  await cut;
}
