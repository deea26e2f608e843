// `npm run bench:access`: the same exports without and with an access file, by turns.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { makeKeyPair, tokenSource } from '../src/access/issuer/backend-client.ts';
import { systemClock } from '../src/base/clock.ts';
import { BenchSystem } from './bench-system.ts';
import { load } from './benchmark.ts';
import { discard, timedExport } from './exports.ts';
import type { Wanted } from './exports.ts';
import { addGroup, ONE_PERCENT } from './members.ts';
import { Phases } from './phases.ts';
import { startOthers } from './start-up.ts';
import { median } from './statistics.ts';
import { UsageMeter } from './usage.ts';

const LIMIT_MS = 900_000;
const EVERY = { levels: ['system', 'patient', 'group'], groups: '*' };
const ROLES = {
  service: { export: EVERY, rules: [{ id: 'all', types: '*', where: 'everything' }] },
  compartment: { export: EVERY, rules: [{ id: 'any', types: '*', where: { compartment: 'any' } }] },
  group: { export: EVERY, rules: [{ id: 'arm', types: '*', where: { group: [ONE_PERCENT] } }] },
  redacted: {
    export: EVERY,
    rules: [
      { id: 'all', types: '*', where: 'everything', redact: [{ path: ['note', 'performer'], do: 'remove' }] },
    ],
  },
  displays: {
    export: EVERY,
    rules: [
      {
        id: 'all',
        types: '*',
        where: 'everything',
        redact: [{ path: '**.Reference.display', do: 'remove' }],
      },
    ],
  },
};

const PATIENTS: Wanted = { allPatients: true };
const GROUP: Wanted = { group: ONE_PERCENT };
const OBSERVATIONS: Wanted = { types: ['Observation'] };
/** Each export by each client that is compared; `open` is without an access file. */
const ROWS: readonly [name: string, wanted: Wanted, clients: readonly (keyof typeof ROLES)[]][] = [
  ['everything', {}, ['service']],
  ['all patients', PATIENTS, ['service', 'compartment']],
  ['a Group of 1 %', GROUP, ['service', 'group']],
  ['Observation', OBSERVATIONS, ['service', 'redacted', 'displays']],
];

interface Run {
  readonly name: string;
  readonly client: string;
  readonly seconds: number;
  readonly worker: number;
}

async function compare(): Promise<void> {
  const options = new Command('npm run bench:access --')
    .description('Exports without and with an access file, by turns. Prints a table.')
    .option('--patients <n>', 'size of the data', Number, 200)
    .option('--rounds <n>', 'exports of each kind', Number, 5)
    .parse()
    .opts<{ patients: number; rounds: number }>();
  const report = (line: string): void => console.error(line);
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort(new Error('Interrupted.')));
  const folder = await mkdtemp(join(tmpdir(), 'headwater-bench-access-'));
  const system = await BenchSystem.start(interrupt.signal, report);
  try {
    const meter = new UsageMeter(() => system.measured());
    const signal = AbortSignal.any([interrupt.signal, system.roles.failed]);
    const phases = new Phases({ meter, signal, limitMs: LIMIT_MS, report });
    const nodeOptions = (): readonly string[] => [];
    await load(system, phases, { patients: options.patients, keep: false, nodeOptions });
    await addGroup(system.settings.sourceUrl);
    const keys = await accessFile(folder);
    const tokenOf = (client: string) => {
      const key = keys.get(client);
      if (!key) return undefined;
      const scope = 'system/*.rs';
      return tokenSource(
        { tokenUrl: `${system.server}/auth/token`, clientId: client, key, scope },
        systemClock,
      );
    };
    const runs: Run[] = [];
    const measure = async (name: string, wanted: Wanted, client: string): Promise<void> => {
      const token = tokenOf(client);
      const phase = `${name}, ${client}, ${runs.length}`;
      const run = await phases.run(phase, (all) => timedExport(system, wanted, all, token));
      const used = meter.phases.find((one) => one.phase === phase)?.processes['worker'];
      runs.push({ name, client, seconds: run.seconds, worker: used?.cpuSeconds ?? NaN });
      await discard(system, run, signal, token);
    };
    for (let round = 0; round < options.rounds; round++)
      for (const secured of [false, true]) {
        await system.setUpAnew({ HEADWATER_ACCESS_FILE: secured ? join(folder, 'access.json') : '' });
        system.roles.start('capture');
        await startOthers(system, phases, nodeOptions, secured ? tokenOf('service') : undefined);
        // The first export of a worker is slower.
        await timedExport(system, {}, signal, secured ? tokenOf('service') : undefined);
        for (const [name, wanted, clients] of ROWS)
          for (const client of secured ? clients : ['open']) await measure(name, wanted, client);
      }
    print(runs);
  } finally {
    await system.stop(false);
    await rm(folder, { recursive: true, force: true });
  }
}

/** Returns the private keys of the clients, one for each role. */
async function accessFile(
  folder: string,
): Promise<ReadonlyMap<string, Parameters<typeof tokenSource>[0]['key']>> {
  const pairs = new Map(
    await Promise.all(Object.keys(ROLES).map(async (name) => [name, await makeKeyPair('ES384')] as const)),
  );
  const clients = Object.fromEntries(
    [...pairs].map(([name, { publicSet }]) => [
      name,
      { jwks: publicSet, scopes: ['system/*.rs'], roles: [name] },
    ]),
  );
  const content = { version: 1, issuers: { embedded: {} }, clients, roles: ROLES };
  await writeFile(join(folder, 'access.json'), JSON.stringify(content));
  return new Map([...pairs].map(([name, { privateKey }]) => [name, privateKey]));
}

function print(runs: readonly Run[]): void {
  console.log(
    '| Export | client | seconds | worker, CPU s | seconds / open | CPU / open |\n| --- | --- | --- | --- | --- | --- |',
  );
  for (const [name, , clients] of ROWS) {
    const of = (client: string) => {
      const own = runs.filter((run) => run.name === name && run.client === client);
      return {
        seconds: median(own.map(({ seconds }) => seconds)),
        worker: median(own.map(({ worker }) => worker)),
      };
    };
    const open = of('open');
    for (const client of ['open', ...clients]) {
      const { seconds, worker } = of(client);
      const figures = [seconds, worker, seconds / open.seconds, worker / open.worker];
      console.log(`| ${[name, client, ...figures.map((figure) => figure.toFixed(2))].join(' | ')} |`);
    }
  }
}

await compare();
