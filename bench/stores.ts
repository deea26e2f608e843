// `npm run bench:stores`: the same full export into a directory and into three object stores, by turns, and one large object.
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import { cancelExport } from '../src/client/export-client.ts';
import { parseSettings, storageSettings } from '../src/config/settings.ts';
import { openStore } from '../src/storage/open-store.ts';
import { onPath } from '../src/stack/local/java.ts';
import { azureServer, gcsServer, s3Server, versityServer } from '../test/support/object-servers.ts';
import type { ObjectServer } from '../test/support/object-servers.ts';
import { BenchSystem } from './bench-system.ts';
import { load } from './benchmark.ts';
import { timedExport } from './exports.ts';
import { Phases } from './phases.ts';
import { startOthers } from './start-up.ts';
import { median } from './statistics.ts';
import { UsageMeter } from './usage.ts';
import type { Measured } from './usage.ts';

const versity = onPath('versitygw', process.env);
const SERVERS: Readonly<Record<string, () => Promise<ObjectServer>>> = {
  'S3 (s3proxy)': s3Server,
  ...(versity !== undefined && { 'S3 (versitygw)': () => versityServer(versity) }),
  'Google Cloud Storage': gcsServer,
  'Azure Blob Storage': azureServer,
};
const LIMIT_MS = 900_000;
const CHUNK_BYTES = 1 << 20;
/** Settings that differ from store to store: nothing of one store may reach the next. */
const NONE = Object.fromEntries(
  [
    ...['S3_ENDPOINT', 'S3_REGION', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'],
    ...['GCS_ENDPOINT', 'GCS_CLIENT_EMAIL', 'GCS_PRIVATE_KEY'],
    ...['AZURE_ENDPOINT', 'AZURE_ACCOUNT_KEY', 'AZURE_SAS_VERSION'],
  ].map((name) => [`HEADWATER_${name}`, '']),
);

interface Row {
  readonly name: string;
  readonly seconds: readonly number[];
  readonly megabytesPerSecond: number;
  readonly workerMegabytes: number;
  /** CPU seconds of one export. */
  readonly worker: number;
  readonly store: number;
}

async function compare(): Promise<void> {
  const options = new Command('npm run bench:stores --')
    .description(
      'Exports everything into a directory and into three object stores of this machine, by turns. Prints a table.',
    )
    .option('--patients <n>', 'size of the data', Number, 300)
    .option('--rounds <n>', 'exports into each store', Number, 3)
    .option('--object <GiB>', 'size of one object whose upload is measured', Number, 5)
    .option('--stores <list>', `which of ${Object.keys(SERVERS).join(', ')}`, (text) => text.split(','))
    .parse()
    .opts<{ patients: number; rounds: number; object: number; stores?: string[] }>();
  const report = (line: string): void => console.error(line);
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort(new Error('Interrupted.')));
  const system = await BenchSystem.start(interrupt.signal, report);
  const servers = new Map<string, ObjectServer>();
  try {
    for (const [name, start] of Object.entries(SERVERS))
      if (options.stores?.includes(name) ?? true) servers.set(name, await start());
    const measured = (): readonly Measured[] => [
      ...system.measured(),
      ...[...servers].map(([name, server]) => ({ name, pid: server.process.pid })),
    ];
    const meter = new UsageMeter(measured);
    const signal = AbortSignal.any([interrupt.signal, system.roles.failed]);
    const phases = new Phases({ meter, signal, limitMs: LIMIT_MS, report });
    const nodeOptions = (): readonly string[] => [];
    await load(system, phases, { patients: options.patients, keep: false, nodeOptions });
    const stores = new Map([['a directory', { HEADWATER_STORAGE_URL: system.settings.storageUrl }]]);
    for (const [name, server] of servers)
      stores.set(name, { ...server.settings, HEADWATER_STORAGE_URL: await server.makeBucket('bench') });
    const runs = new Map(
      [...stores.keys()].map((name) => [name, [] as { seconds: number; bytes: number }[]]),
    );
    for (let round = 0; round < options.rounds; round++)
      for (const [name, settings] of stores) {
        await system.setUpAnew({ ...NONE, ...settings });
        system.roles.start('capture');
        await startOthers(system, phases, nodeOptions);
        const run = await phases.run(name, (all) => timedExport(system, {}, all));
        runs.get(name)?.push(run);
        await cancelExport(run.statusUrl);
        await delay(3_000); // the janitor removes the files
      }
    const rows = [...runs].map(([name, of]): Row => {
      const used = meter.phases.find(({ phase }) => phase === name)?.processes;
      return {
        name,
        seconds: of.map(({ seconds }) => seconds),
        megabytesPerSecond: median(of.map(({ seconds, bytes }) => bytes / 1e6 / seconds)),
        workerMegabytes: (used?.['worker']?.peakBytes ?? NaN) / 1e6,
        worker: (used?.['worker']?.cpuSeconds ?? NaN) / of.length,
        store: (used?.[name]?.cpuSeconds ?? 0) / of.length,
      };
    });
    print(rows);
    console.log(`\nOne object of ${options.object} GiB:\n`);
    console.log('| Store | seconds | MB/s | memory before, MB | peak, MB |\n| --- | --- | --- | --- | --- |');
    for (const [name, settings] of stores) {
      const { seconds, before, peak } = await largeObject({ ...NONE, ...settings }, options.object);
      const rate = (options.object * 2 ** 30) / 1e6 / seconds;
      const figures = [seconds, rate, before, peak].map((figure) => figure.toFixed(0));
      console.log(`| ${[name, ...figures].join(' | ')} |`);
    }
  } finally {
    await system.stop(false);
    for (const server of servers.values()) await server.stop();
  }
}

function print(rows: readonly Row[]): void {
  console.log(
    '| Full export into | seconds | MB/s | of the directory | worker, CPU s | store, CPU s | peak of the worker, MB |',
  );
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  const [first] = rows;
  for (const { name, seconds, megabytesPerSecond, workerMegabytes, worker, store } of rows) {
    const ratio = megabytesPerSecond / (first?.megabytesPerSecond ?? NaN);
    const times = seconds.map((one) => one.toFixed(1)).join(', ');
    const figures = [megabytesPerSecond.toFixed(0), ratio.toFixed(2), worker.toFixed(1), store.toFixed(1)];
    console.log(`| ${[name, times, ...figures, workerMegabytes.toFixed(0)].join(' | ')} |`);
  }
}

interface LargeObject {
  readonly seconds: number;
  /** MB resident before and at most during the upload. */
  readonly before: number;
  readonly peak: number;
}

function largeObject(env: Readonly<Record<string, string>>, gibibytes: number): Promise<LargeObject> {
  const child = fork(import.meta.filename, ['object', String(gibibytes)], {
    env: { ...process.env, ...env },
  });
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as LargeObject));
    child.once('exit', (code) => reject(new Error(`the upload ended with ${code}`)));
  });
}

async function upload(gibibytes: number): Promise<LargeObject> {
  const store = await openStore(storageSettings(parseSettings(process.env, [])));
  const chunk = randomBytes(CHUNK_BYTES);
  const small = await store.create('bench/small', 'application/octet-stream');
  await small.write(chunk);
  await small.finish();
  const before = process.memoryUsage.rss() / 1e6;
  const begun = performance.now();
  const writer = await store.create('bench/large', 'application/octet-stream');
  for (let n = 0; n < gibibytes * 1024; n++) await writer.write(chunk);
  await writer.finish();
  const seconds = (performance.now() - begun) / 1_000;
  await store.deletePrefix('bench/');
  return { seconds, before, peak: process.resourceUsage().maxRSS / 1_000 };
}

const [role, gibibytes] = process.argv.slice(2);
if (role === 'object') {
  process.send?.(await upload(Number(gibibytes)));
  process.disconnect();
} else await compare();
