import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { headwaterDirectory } from '../../src/stack/contract.ts';
import { identityOf } from '../../src/stack/local/server-process.ts';
import { freePort } from '../../src/stack/ports.ts';
import { startStack, type Stack, type StackOptions } from '../../src/stack/stack.ts';

const SCHEMA = JSON.stringify({ schema: JSON.stringify({ type: 'string' }) });

describe('a stack of local processes', function () {
  this.timeout(120_000);
  let directory: string;
  let options: StackOptions;

  before(() => {
    // A folder of its own, so that what is left behind can be seen; the downloads are those of the project.
    directory = mkdtempSync(join(tmpdir(), 'headwater-stack-'));
    mkdirSync(join(headwaterDirectory, 'tools'), { recursive: true });
    symlinkSync(join(headwaterDirectory, 'tools'), join(directory, 'tools'));
    const env = { ...process.env, HEADWATER_STACK: 'local' };
    options = {
      directory,
      purpose: 'tests',
      env,
      report: () => undefined,
    };
  });

  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it('keeps ports and data over restarts after a kill, and leaves nothing after stop', async () => {
    const stack = await startStack(options);
    try {
      await query(stack, 'CREATE TABLE kept AS SELECT 42 AS n');
      const id = await register(stack);
      const before = await stack.pids();
      await stack.restart('postgres', 'kill');
      await stack.restart('kafka', 'kill');
      await stack.restart('registry', 'kill');
      const after = await stack.pids();
      for (const component of ['postgres', 'kafka', 'registry'] as const) {
        assert.notEqual(after[component], undefined);
        assert.notEqual(after[component], before[component]);
      }
      assert.deepEqual(await query(stack, 'SELECT n FROM kept'), [{ n: 42 }]);
      assert.equal(await register(stack), id);
    } finally {
      await stack.stop();
    }
    assert.deepEqual(await stack.pids(), {});
    assert.deepEqual(readdirSync(directory), ['tools']);
  });

  it('ends the servers that it started when another one cannot start', async () => {
    const port = await freePort();
    // Kafka refuses to listen twice on one port.
    await assert.rejects(
      startStack({ ...options, ports: { kafka: port, controller: port } }),
      /Kafka's storage was not formatted/,
    );
    assert.deepEqual(readdirSync(directory), ['tools']);
  });

  it('ends the stack of a killed process at the next start', async () => {
    const code = `
      const { startStack } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/stack/stack.ts'))});
      const stack = await startStack({ directory: ${JSON.stringify(directory)}, purpose: 'tests', report() {} });
      console.log(JSON.stringify(await stack.pids()));
      setInterval(() => {}, 1000);`;
    const env = { ...options.env };
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await new Promise<string>((resolve, reject) => {
      child.stdout.setEncoding('utf8').once('data', resolve);
      child.once('exit', () => reject(new Error('the child ended')));
    });
    const pids = Object.values(JSON.parse(line) as Record<string, number>);
    assert.equal(pids.length, 3);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    assert.ok(pids.every((pid) => identityOf(pid) !== undefined));

    const port = await freePort();
    await assert.rejects(startStack({ ...options, ports: { kafka: port, controller: port } }));
    assert.ok(pids.every((pid) => identityOf(pid) === undefined));
    assert.ok(existsSync(join(directory, 'tools')));
    assert.deepEqual(readdirSync(directory), ['tools']);
  });
});

async function query(stack: Stack, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: stack.addresses.postgresUrl });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

async function register(stack: Stack): Promise<number> {
  const response = await fetch(`${stack.addresses.registryUrl}/subjects/kept-value/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: SCHEMA,
  });
  return ((await response.json()) as { id: number }).id;
}
