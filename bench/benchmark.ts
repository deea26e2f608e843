import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../src/base/clock.ts';
import { loadDirectory } from '../src/client/load.ts';
import { consumeTopics, copyBodies, copyMethod } from './baseline.ts';
import type { Consumed } from './baseline.ts';
import { benchDirectory, BenchSystem } from './bench-system.ts';
import {
  changeInTransactions,
  changeShare,
  commitLatencies,
  keysOfShare,
  settleSource,
  timeToCut,
} from './changes.ts';
import { discard, ReplayTimes, shareOf, timedExport } from './exports.ts';
import type { ExportRun, ReplayTime } from './exports.ts';
import { filteredExports } from './filtered.ts';
import type { Measurements, Repeated, StreamRate } from './measurements.ts';
import { narrowExports } from './narrow.ts';
import type { Phases } from './phases.ts';
import { repeated, ROUNDS, together } from './repeat.ts';
import { scalePopulation } from './scale.ts';
import { shuffledGroup } from './shuffled.ts';
import { firstLoad, GROUP, startOthers } from './start-up.ts';
import type { NodeOptions } from './start-up.ts';

export const FULL_EXPORT = 'full export';
const SAMPLE = join(import.meta.dirname, '..', 'data', 'synthea-10');
const SCALED = join(benchDirectory, 'data');
const SMALL_EXPORTS = 10;
const COMMITS = 200;
/** Of the resources, in thousandths, for the parts that change some: [from, to). */
const SINCE_SHARE = [0, 10] as const;
const SMALL_SHARE = [100, 200] as const;
const HUGE_SHARE = [200, 300] as const;

export interface BenchmarkOptions {
  readonly patients: number;
  readonly keep: boolean;
  readonly nodeOptions: NodeOptions;
}

type Loaded = Pick<
  Measurements,
  'patients' | 'resources' | 'bytes' | 'sourceLoadSeconds' | 'firstLoadSeconds' | 'firstLoadWall'
>;

/** Everything that is measured, in order, on one system: the log is read before anything but a Group changes in it. */
export async function measure(
  system: BenchSystem,
  phases: Phases,
  options: BenchmarkOptions,
): Promise<Measurements> {
  const loaded = await load(system, phases, options);
  await startOthers(system, phases, options.nodeOptions);
  const whole = await readWhole(system, phases, loaded);
  const patient = await repeated(system, phases, '_type=Patient', { types: ['Patient'] });
  const small = await smallExports(system, phases);
  const narrow = await narrowExports(system, phases);
  const filtered = await filteredExports(system, phases);
  const since = await sinceOnePercent(system, phases);
  const streamSmall = await smallTransactions(system, phases);
  const streamHuge = await hugeTransaction(system, phases);
  const latencies = await phases.run('single commits', (signal) => commitLatencies(system, COMMITS, signal));
  const shuffled = await shuffledGroup(system, phases, options.nodeOptions);
  return {
    ...loaded,
    ...whole,
    patient,
    ...small,
    narrow,
    shuffledGroup: shuffled,
    filtered,
    since,
    streamSmall,
    streamHuge,
    commitLatencies: latencies,
  };
}

export async function load(system: BenchSystem, phases: Phases, options: BenchmarkOptions): Promise<Loaded> {
  const { sourceUrl, sourceTable: table } = system.settings;
  await rm(SCALED, { recursive: true, force: true });
  const scaled = await phases.run('scaling the sample', (signal) =>
    scalePopulation({ source: SAMPLE, target: SCALED, patients: options.patients, signal }),
  );
  phases.report(`  ${scaled.patients} patients, ${scaled.resources} resources`);
  const loaded = await phases.run('load into the source', (signal) =>
    loadDirectory({ directory: SCALED, sourceUrl, table, clock: systemClock, signal }),
  );
  if (loaded.rows !== scaled.resources || loaded.changed !== scaled.resources)
    throw new Error(`the scaled data has repeated ids: ${JSON.stringify({ loaded, scaled })}`);
  if (!options.keep) await rm(SCALED, { recursive: true });
  await phases.run('vacuum', () => settleSource(sourceUrl));
  const load = { phase: 'first load by capture', resources: loaded.rows, nodeOptions: options.nodeOptions };
  const firstLoaded = await firstLoad(system, phases, load);
  return {
    patients: scaled.patients,
    resources: loaded.rows,
    bytes: loaded.bytes,
    sourceLoadSeconds: loaded.seconds,
    ...firstLoaded,
  };
}

/** COPY, Kafka's consumer and the full export by turns, so that other load on the machine meets all three alike. */
async function readWhole(system: BenchSystem, phases: Phases, { resources }: Loaded) {
  const { sourceUrl, topicPrefix } = system.settings;
  const topics = `${topicPrefix.replaceAll('.', '\\.')}\\.resources\\..*`;
  const copy: number[] = [];
  const consumed: Consumed[] = [];
  const full: ExportRun[] = [];
  const replay: ReplayTime[] = [];
  const times = await ReplayTimes.from(system.log);
  for (let round = 0; round < ROUNDS; round++) {
    copy.push(await phases.run('COPY', (signal) => copyBodies(sourceUrl, signal)));
    const brokers = system.settings.kafkaBrokers;
    const consume = (signal: AbortSignal) => consumeTopics({ brokers, topics, records: resources, signal });
    consumed.push(await phases.run("Kafka's consumer", consume));
    const run = await phases.run(FULL_EXPORT, (signal) => timedExport(system, {}, signal));
    if (run.resources !== resources)
      throw new Error(`an export has ${run.resources} of ${resources} resources`);
    replay.push(await times.of(run.jobId, phases.signal));
    full.push(run);
    await discard(system, run, phases.signal);
  }
  return {
    copyMethod: copyMethod(),
    copy,
    consumed,
    full: together(full),
    replay,
    patientShare: Math.max(...full.map((run) => shareOf('Patient', run))),
  };
}

async function smallExports(
  system: BenchSystem,
  phases: Phases,
): Promise<Pick<Measurements, 'smallType' | 'smallSince' | 'smallBeside'>> {
  const smallType: number[] = [];
  const smallSince: number[] = [];
  const smallBeside: number[] = [];
  let since = (await timedExport(system, GROUP, phases.signal)).manifest.transactionTime;
  await phases.run('small exports', async (signal) => {
    for (let n = 0; n < SMALL_EXPORTS; n++) {
      smallType.push((await timedExport(system, GROUP, signal)).seconds);
      const run = await timedExport(system, { since }, signal);
      smallSince.push(run.seconds);
      since = run.manifest.transactionTime;
    }
  });
  // A small machine's full export may be over before ten small ones are: then another one runs.
  for (let round = 0; round < ROUNDS && smallBeside.length < SMALL_EXPORTS; round++) {
    const run = await phases.run('small exports beside a full one', async (signal) => {
      let fullIsDone = false;
      const full = timedExport(system, {}, signal).finally(() => (fullIsDone = true));
      full.catch(() => undefined); // awaited below
      while (smallBeside.length < SMALL_EXPORTS && !fullIsDone) {
        const { seconds } = await timedExport(system, GROUP, signal);
        if (!fullIsDone) smallBeside.push(seconds);
      }
      return full;
    });
    await discard(system, run, phases.signal);
  }
  return { smallType, smallSince, smallBeside };
}

async function sinceOnePercent(system: BenchSystem, phases: Phases): Promise<Repeated> {
  const { sourceUrl } = system.settings;
  const { manifest } = await timedExport(system, GROUP, phases.signal);
  const changed = await phases.run('changing 1 %', () => changeShare(sourceUrl, ...SINCE_SHARE));
  await timeToCut(system, phases.signal); // so that capture has caught up, and only the export is measured
  const since = await repeated(system, phases, '_since', { since: manifest.transactionTime });
  if (since.resources !== changed) throw new Error(`_since has ${since.resources} of ${changed} resources`);
  return since;
}

async function smallTransactions(system: BenchSystem, phases: Phases): Promise<StreamRate> {
  const { sourceUrl } = system.settings;
  const keys = await keysOfShare(sourceUrl, ...SMALL_SHARE);
  return phases.run('stream: transactions of 100', async (signal) => {
    const begun = performance.now();
    await changeInTransactions(sourceUrl, keys, { connections: 2, signal });
    const sourceSeconds = (performance.now() - begun) / 1000;
    const seconds = sourceSeconds + (await timeToCut(system, signal));
    return { resources: keys.length, sourceSeconds, seconds };
  });
}

async function hugeTransaction(system: BenchSystem, phases: Phases): Promise<StreamRate> {
  const { sourceUrl } = system.settings;
  return phases.run('stream: one transaction', async (signal) => {
    const begun = performance.now();
    const resources = await changeShare(sourceUrl, ...HUGE_SHARE);
    const sourceSeconds = (performance.now() - begun) / 1000;
    return { resources, sourceSeconds, seconds: await timeToCut(system, signal) };
  });
}
