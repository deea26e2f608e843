// `npm run bench`: measures Headwater against what PostgreSQL and Kafka themselves can do with the same data.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { messageOf } from '../src/base/errors.ts';
import { stopSignal } from '../src/main/stop-signal.ts';
import { measure } from './benchmark.ts';
import type { BenchmarkOptions } from './benchmark.ts';
import { benchDirectory, BenchSystem } from './bench-system.ts';
import { figuresOf } from './figures.ts';
import { busyness, describeMachine } from './machine.ts';
import { Phases } from './phases.ts';
import { summarizeProfiles } from './profile.ts';
import { renderMarkdown, writeResult } from './report.ts';
import type { Result } from './report.ts';
import { UsageMeter } from './usage.ts';

interface Options {
  readonly patients: number;
  readonly json?: boolean;
  readonly keep?: boolean;
  readonly profile?: boolean;
}

const RESULTS = join(import.meta.dirname, 'results');
const PROFILES = join(benchDirectory, 'profiles');

const program = new Command('npm run bench --')
  .description(
    'Measures loads, exports and memory on servers of its own, against COPY and the consumer of Kafka.',
  )
  .option(
    '--patients <n>',
    'size of the data, about 460 resources each; 2180 make a million',
    parsePatients,
    1000,
  )
  .option('--profile', 'profile the CPU of capture and worker (which slows them down somewhat)')
  .option('--keep', `leave data, logs and files in ${join('.headwater', 'bench')}`)
  .option('--json', 'print the result as JSON instead of Markdown')
  .showHelpAfterError();
program.parse();

try {
  const result = await benchmark(program.opts<Options>(), stopSignal());
  const path = writeResult(RESULTS, result);
  process.stdout.write(program.opts<Options>().json ? `${JSON.stringify(result)}\n` : renderMarkdown(result));
  say(`Written to ${path} and .json beside it.`);
} catch (error) {
  say(messageOf(error));
  process.exitCode = 1;
}
// A phase that reached its limit may have left work open; it must not keep this process running.
process.exit();

async function benchmark(options: Options, signal: AbortSignal): Promise<Result> {
  const { patients, keep = false, profile = false } = options;
  const at = new Date().toISOString();
  const loadBefore = busyness();
  const begun = performance.now();
  const system = await BenchSystem.start(signal, say);
  const meter = new UsageMeter(system.measured);
  try {
    const machine = await describeMachine(system.settings.sourceUrl, loadBefore);
    const phases = new Phases({
      meter,
      signal: AbortSignal.any([signal, system.roles.failed]),
      limitMs: 120_000 + patients * 300,
      report: say,
    });
    const measurements = await measure(system, phases, { patients, keep, nodeOptions: profiling(profile) });
    await system.roles.endAll(); // they write their profiles
    return {
      at,
      machine,
      figures: figuresOf(measurements, meter.phases),
      phases: meter.phases,
      measurements,
      profiles: profile ? summarizeProfiles(PROFILES) : [],
      seconds: (performance.now() - begun) / 1000,
    };
  } catch (error) {
    if (signal.aborted) throw new Error('Interrupted.', { cause: error });
    throw error;
  } finally {
    say('Ending servers and roles …');
    await system.stop(keep);
  }
}

function profiling(wanted: boolean): BenchmarkOptions['nodeOptions'] {
  if (!wanted) return () => [];
  rmSync(PROFILES, { recursive: true, force: true });
  say(`Profiles go to ${PROFILES}.`);
  return (role) => ['--cpu-prof', `--cpu-prof-dir=${join(PROFILES, role)}`];
}

function parsePatients(text: string): number {
  const patients = Number(text);
  if (!Number.isInteger(patients) || patients < 1 || patients > 100_000)
    throw new InvalidArgumentError('it is a whole number from 1 to 100000.');
  return patients;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
