import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { freePort } from '../../src/stack/ports.ts';
import { removeInstallations } from '../support/leftovers.ts';
import { uniqueName } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';

const ENTRY = join(import.meta.dirname, '../../src/main/headwater.ts');
const ROLES = ['gateway', 'capture', 'planner', 'worker', 'projector', 'janitor'];

describe('a process that is to end', () => {
  const addresses = sharedStack();
  const { postgresUrl, kafkaBrokers, registryUrl } = addresses;
  const folder = mkdtempSync(join(tmpdir(), 'headwater-ending-'));
  const children: ChildProcess[] = [];
  const servers: Server[] = [];
  const prefixes: string[] = [];

  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(
      children.map(async (child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')),
    );
    for (const server of servers) server.close();
    rmSync(folder, { recursive: true, force: true });
    await removeInstallations(addresses, prefixes);
  });

  async function environment(more: Readonly<Record<string, string>> = {}): Promise<Record<string, string>> {
    const prefix = uniqueName('ending');
    prefixes.push(prefix);
    return {
      HEADWATER_SOURCE_URL: postgresUrl,
      HEADWATER_KAFKA_BROKERS: kafkaBrokers.join(','),
      HEADWATER_REGISTRY_URL: registryUrl,
      HEADWATER_STORAGE_URL: pathToFileURL(folder).href,
      HEADWATER_URL_SECRET: 'x'.repeat(32),
      HEADWATER_HTTP_PORT: String(await freePort()),
      HEADWATER_TOPIC_PREFIX: prefix,
      ...more,
    };
  }

  /** A port that takes connections and never says anything. */
  async function silentPort(): Promise<number> {
    const server = createServer();
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  function serve(roles: readonly string[], env: Readonly<Record<string, string>>) {
    const child = spawn(process.execPath, [ENTRY, 'serve', '--roles', roles.join(',')], {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    let printed = '';
    const started: PromiseWithResolvers<void> = Promise.withResolvers();
    const note = (data: Buffer): void => {
      printed += data.toString();
      if (printed.includes('headwater starts')) started.resolve();
    };
    child.stdout.on('data', note);
    child.stderr.on('data', note);
    const ended = once(child, 'exit', { signal: AbortSignal.timeout(50_000) });
    return { child, started: started.promise, ended, text: () => printed };
  }

  for (const roles of [ROLES, ['gateway']]) {
    it(`ends with an exit code when the HTTP port is taken (${roles.join(',')})`, async () => {
      const env = await environment({ HEADWATER_HTTP_PORT: String(await silentPort()) });
      const { ended, text } = serve(roles, env);
      assert.deepEqual(await ended, [2, null], text());
      assert.match(text(), /is in use; set HEADWATER_HTTP_PORT/);
    });
  }

  it('ends with an exit code when the database refuses the login, whatever the role', async () => {
    const url = new URL(postgresUrl);
    url.username = uniqueName('nobody');
    url.password = 'wrong';
    for (const role of ['gateway', 'capture', 'projector', 'janitor']) {
      const env = await environment({ HEADWATER_SOURCE_URL: url.href });
      const { ended, text } = serve([role], env);
      assert.deepEqual(await ended, [2, null], `${role}: ${text()}`);
      assert.match(text(), /HEADWATER_SOURCE_URL/, role);
      assert.doesNotMatch(text(), /wrong/, role);
    }
  });

  it('ends by SIGTERM while servers take connections and say nothing', async () => {
    const port = await silentPort();
    const env = await environment({
      HEADWATER_SOURCE_URL: `postgresql://a@127.0.0.1:${String(port)}/a`,
      HEADWATER_KAFKA_BROKERS: `127.0.0.1:${String(port)}`,
      HEADWATER_REGISTRY_URL: `http://127.0.0.1:${String(port)}`,
    });
    const { child, started, ended, text } = serve(ROLES, env);
    await started;
    await new Promise((resolve) => setTimeout(resolve, 1_000)); // something is being opened by then
    const told = performance.now();
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null], text());
    assert.ok(performance.now() - told < 20_000, text()); // 10 s, and as much for a busy machine
  });
});
