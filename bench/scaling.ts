// `npm run bench:scaling`: first loads over more connections, and full exports with more replay threads and worker processes.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Command } from 'commander';
import { backlog } from './backlog.ts';
import type { Backlog } from './backlog.ts';
import { BenchSystem } from './bench-system.ts';
import { load } from './benchmark.ts';
import { discard, timedExport } from './exports.ts';
import { Phases } from './phases.ts';
import { forgetLog } from './shuffled.ts';
import { firstLoad, startOthers } from './start-up.ts';
import { median } from './statistics.ts';
import { UsageMeter } from './usage.ts';

const LIMIT_MS = 900_000;
const CONNECTIONS = [1, 2, 4];
const WORKERS = [
  { threads: 1, processes: 1 },
  { threads: 2, processes: 1 },
  { threads: 1, processes: 2 },
];
const NO_OPTIONS = (): readonly string[] => [];

interface Point {
  readonly name: string;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly brokerSeconds: number;
}

async function scale(): Promise<void> {
  const options = new Command('npm run bench:scaling --')
    .description('First loads and full exports with more of everything. Prints two tables.')
    .option('--patients <n>', 'size of the data', Number, 300)
    .option('--rounds <n>', 'measurements of each kind', Number, 3)
    .parse()
    .opts<{ patients: number; rounds: number }>();
  const report = (line: string): void => console.error(line);
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort(new Error('Interrupted.')));
  const system = await BenchSystem.start(interrupt.signal, report);
  try {
    const meter = new UsageMeter(() => system.measured());
    const signal = AbortSignal.any([interrupt.signal, system.roles.failed]);
    const phases = new Phases({ meter, signal, limitMs: LIMIT_MS, report });
    const { resources, bytes } = await load(system, phases, {
      patients: options.patients,
      keep: false,
      nodeOptions: NO_OPTIONS,
    });
    const pointOf = (phase: string, name: string, role: string, seconds: number): Point => {
      const used = meter.phases.find((one) => one.phase === phase)?.processes ?? {};
      const own = Object.entries(used).filter(([process]) => process.replace(/ \d+$/, '') === role);
      return {
        name,
        seconds,
        cpuSeconds: own.reduce((sum, [, usage]) => sum + usage.cpuSeconds, 0),
        brokerSeconds: used['kafka']?.cpuSeconds ?? NaN,
      };
    };
    const loads: Point[] = [];
    for (let round = 0; round < options.rounds; round++)
      for (const connections of CONNECTIONS) {
        const phase = `first load, ${connections} connections, ${round}`;
        await beginAgain(system, phases, { name: `load${connections}${round}`, connections });
        const { firstLoadSeconds } = await firstLoad(system, phases, {
          phase,
          resources,
          nodeOptions: NO_OPTIONS,
        });
        loads.push(pointOf(phase, String(connections), 'capture', firstLoadSeconds));
      }
    const exports: Point[] = [];
    for (let round = 0; round < options.rounds; round++)
      for (const { threads, processes } of WORKERS) {
        await system.setUpAnew({ HEADWATER_REPLAY_THREADS: String(threads) });
        system.roles.start('capture');
        for (let more = 2; more <= processes; more++) system.roles.start(`worker ${more}`);
        await startOthers(system, phases, NO_OPTIONS);
        for (const isFirst of [true, false]) {
          const name = `${processes} × ${threads}`;
          const phase = `full export, ${name}, ${round}${isFirst ? ', first' : ''}`;
          const run = await phases.run(phase, (all) => timedExport(system, {}, all));
          if (!isFirst) exports.push(pointOf(phase, name, 'worker', run.seconds)); // the first one of a worker is slower
          await discard(system, run, signal);
        }
      }
    const streamed = await backlog(system, phases);
    console.log(`${resources} resources, ${(bytes / 1e6).toFixed(0)} MB\n`);
    print('Connections of the first load', loads, { resources, bytes });
    print('Worker processes × threads', exports, { resources, bytes });
    printBacklog(streamed);
  } finally {
    await system.stop(false);
  }
}

/** Everything again from the beginning, with a log, a slot and a store of that name. */
async function beginAgain(
  system: BenchSystem,
  phases: Phases,
  { name, connections }: { readonly name: string; readonly connections: number },
): Promise<void> {
  const { sourceUrl, slot, topicPrefix } = system.settings;
  await system.setUpAnew({
    HEADWATER_TOPIC_PREFIX: name,
    HEADWATER_SLOT: name,
    HEADWATER_PUBLICATION: name,
    HEADWATER_LOAD_CONNECTIONS: String(connections),
    HEADWATER_STORAGE_URL: pathToFileURL(join(system.files, name)).href,
  });
  await phases.run(`forgetting ${slot}`, (signal) =>
    forgetLog({ url: sourceUrl, slot, prefix: topicPrefix }, signal),
  );
}

function print(
  what: string,
  points: readonly Point[],
  { resources, bytes }: { readonly resources: number; readonly bytes: number },
): void {
  console.log(`| ${what} | seconds | CPU s | broker, CPU s | µs CPU a resource | MB a CPU second |`);
  console.log('| --- | --- | --- | --- | --- | --- |');
  for (const name of new Set(points.map((point) => point.name))) {
    const own = points.filter((point) => point.name === name);
    const [seconds, cpu, broker] = (['seconds', 'cpuSeconds', 'brokerSeconds'] as const).map((field) =>
      median(own.map((point) => point[field])),
    ) as [number, number, number];
    const figures = [seconds, cpu, broker].map((figure) => figure.toFixed(2));
    const each = [(cpu / resources) * 1e6, bytes / 1e6 / cpu].map((figure) => figure.toFixed(0));
    console.log(`| ${[name, ...figures, ...each].join(' | ')} |`);
  }
  console.log();
}

function printBacklog(streamed: Backlog): void {
  const row = (name: string, resources: number, seconds: number): void =>
    console.log(`| ${name} | ${seconds.toFixed(2)} | ${(resources / seconds).toFixed(0)} |`);
  console.log('| Changes in transactions of 100 | seconds | resources/s |\n| --- | --- | --- |');
  row('PostgreSQL, while nothing of Headwater runs', streamed.resourcesAlone, streamed.alone);
  row('PostgreSQL, while capture follows', streamed.resources, streamed.together);
  row('the same, until a cut', streamed.resources, streamed.untilCut);
  row('capture, of changes that wait', streamed.resourcesAlone, streamed.captureAlone);
}

await scale();
