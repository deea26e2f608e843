import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { pathToFileURL } from 'node:url';
import type { Logger } from '../../src/base/service.ts';
import type { Role } from '../../src/config/roles.ts';
import { parseSettings } from '../../src/config/settings.ts';
import { runRoles } from '../../src/main/roles.ts';
import { freePort } from '../../src/stack/ports.ts';

/** Runs the role until it logs a message that matches, and ends it. */
async function untilLogged(
  expected: RegExp,
  role: Role,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const logged: PromiseWithResolvers<void> = Promise.withResolvers();
  const stop = new AbortController();
  const note = (_: object, message: string): void => {
    if (expected.test(message)) logged.resolve();
  };
  const logger: Logger = { debug: note, info: note, warn: note, error: note };
  const running = runRoles(parseSettings(env, [role]), { logger, signal: stop.signal });
  try {
    await Promise.race([logged.promise, running.then(() => assert.fail(`${role} ended`))]);
  } finally {
    stop.abort();
    await running;
  }
}

describe('a process of one role', () => {
  const nowhere = 'http://127.0.0.1:1';
  const files = pathToFileURL(tmpdir()).href;

  it('that serves clients needs no Kafka', async () => {
    const env = {
      HEADWATER_SOURCE_URL: 'postgresql://nobody@127.0.0.1:1/none',
      HEADWATER_STORAGE_URL: files,
      HEADWATER_URL_SECRET: 'x'.repeat(32),
      HEADWATER_HTTP_PORT: String(await freePort()),
    };
    await untilLogged(/^gateway listens$/, 'gateway', env);
  });

  it('that replays needs no database: without its log it waits', async () => {
    const env = {
      HEADWATER_KAFKA_BROKERS: '127.0.0.1:1',
      HEADWATER_REGISTRY_URL: nowhere,
      HEADWATER_STORAGE_URL: files,
      HEADWATER_URL_SECRET: 'x'.repeat(32),
    };
    await untilLogged(/schema registry .* does not answer/, 'worker', env);
  });

  const wrong: readonly [name: string, env: Readonly<Record<string, string>>][] = [
    ['HEADWATER_SOURCE_COLUMNS', { HEADWATER_SOURCE_PRESET: 'columns', HEADWATER_SOURCE_COLUMNS: 'id=a' }],
    ['HEADWATER_SOURCE_TIME_ZONE', { HEADWATER_SOURCE_PRESET: 'hapi', HEADWATER_SOURCE_TIME_ZONE: 'Mars' }],
    ['HEADWATER_SOURCE_TENANT', { HEADWATER_SOURCE_PRESET: 'hapi', HEADWATER_SOURCE_TENANT: '1,2' }],
    ['HEADWATER_SOURCE_TYPES', { HEADWATER_SOURCE_TYPES: 'Patientt' }],
  ];
  for (const [name, env] of wrong) {
    it(`that captures ends at once when ${name} is wrong, though no server answers`, async () => {
      const settings = parseSettings(
        {
          HEADWATER_SOURCE_URL: 'postgresql://nobody@127.0.0.1:1/none',
          HEADWATER_KAFKA_BROKERS: '127.0.0.1:1',
          HEADWATER_REGISTRY_URL: nowhere,
          HEADWATER_URL_SECRET: 'x'.repeat(32),
          ...env,
        },
        ['capture'],
      );
      const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
      const running = runRoles(settings, { logger: quiet, signal: AbortSignal.timeout(5_000) });
      await assert.rejects(running, { code: 'bad-config', message: new RegExp(`^${name}`) });
    });
  }
});
