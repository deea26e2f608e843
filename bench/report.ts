import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Figure } from './figure.ts';
import { cpuOf } from './figures.ts';
import { FULL_EXPORT } from './benchmark.ts';
import type { Machine } from './machine.ts';
import type { Measurements } from './measurements.ts';
import type { ProfileSummary } from './profile.ts';
import { ELSE } from './usage.ts';
import type { PhaseUsage } from './usage.ts';

export interface Result {
  /** When it was measured: an ISO instant. */
  readonly at: string;
  readonly machine: Machine;
  readonly figures: readonly Figure[];
  readonly phases: readonly PhaseUsage[];
  readonly measurements: Measurements;
  /** Those of a profiled run have a result of their own, since profiling takes time and memory. */
  readonly profiles: readonly ProfileSummary[];
  /** Of the whole benchmark. */
  readonly seconds: number;
}

/** `<date>-<patients>`, of a profiled run `<date>-<patients>-profiled`. */
function resultName({ at, measurements, profiles }: Result): string {
  return `${at.slice(0, 10)}-${measurements.patients}${profiles.length > 0 ? '-profiled' : ''}`;
}

/** Writes both forms; a later run of the same day and size replaces them. Returns the path of the Markdown. */
export function writeResult(directory: string, result: Result): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, resultName(result));
  writeFileSync(`${path}.json`, `${JSON.stringify(result, undefined, 2)}\n`);
  writeFileSync(`${path}.md`, renderMarkdown(result));
  return `${path}.md`;
}

export function renderMarkdown(result: Result): string {
  const { at, machine, measurements, phases, seconds } = result;
  const { patients, resources, bytes } = measurements;
  const megabytes = Math.round(bytes / 1e6);
  const sections = [
    `# Benchmark of ${at.slice(0, 10)}, ${patients} patients`,
    `${resources} resources, ${megabytes} MB of JSON (mean ${Math.round(bytes / resources)} bytes): the bundled Synthea patients, copied under new ids. All of it was measured in one run of ${Math.round(seconds)} s, with every role, broker and database on this machine.`,
    machineLine(machine),
    ...warnings(result),
    table(['', 'Measured', 'Asked for', 'Reached', 'How'], result.figures.map(figureRow)),
    '## CPU seconds by phase',
    cpuTable(phases),
    '## Peak memory by phase, MB',
    memoryTable(phases),
    NOTES,
    ...result.profiles.flatMap(profileSection),
  ];
  return `${sections.join('\n\n')}\n`;
}

const NOTES = `MB are 10^6 bytes. Where a line says three times, its figure is their median. Memory: VmHWM of the phase (PostgreSQL: sum of Pss of its
processes, sampled). "anything else" is all other CPU of the machine, the tools measured (psql, the consumer's JVM) among it; what it has in
the phases of Headwater's own was taken from them.`;

function machineLine(machine: Machine): string {
  const { cpu, cores, memoryGb, system, node, postgresql, kafka, java, commit } = machine;
  const settings = Object.entries(machine.settings).map(([name, value]) => `${name}=${value}`);
  const lines = [
    `${cores} cores (${cpu}), ${memoryGb} GB, ${system}; Node ${node}, PostgreSQL ${postgresql}, Kafka ${kafka} on Java ${java}; commit ${commit}.`,
    ...(settings.length > 0 ? [`Settings: ${settings.join(', ')}.`] : []),
  ];
  return lines.join('\n');
}

/** What makes the figures lower than they should be. */
function warnings({ machine, phases, profiles }: Result): string[] {
  const full = phases.find(({ phase }) => phase === FULL_EXPORT);
  const others = full ? (full.processes[ELSE]?.cpuSeconds ?? NaN) / (full.seconds * machine.cores) : NaN;
  return [
    ...(machine.loadBefore > 0.5
      ? [`**The machine was busy before the benchmark began (load ${machine.loadBefore}).**`]
      : []),
    ...(others > 0.05
      ? [`**Others used ${(others * 100).toFixed(0)} % of the cores while the full exports ran.**`]
      : []),
    ...(profiles.length > 0
      ? ['**Capture and worker were profiled, which slows them and takes memory.**']
      : []),
  ];
}

function figureRow({ name, value, target, reached, how }: Figure): string[] {
  return [name, value, target ?? '', reached === undefined ? '' : reached ? 'yes' : '**no**', how];
}

function processNames(phases: readonly PhaseUsage[]): string[] {
  return [...new Set(phases.flatMap(({ processes }) => Object.keys(processes)))].sort(
    (a, b) => cpuOf(phases, b) - cpuOf(phases, a),
  );
}

function cpuTable(phases: readonly PhaseUsage[]): string {
  const names = processNames(phases);
  const rows = phases.map(({ phase, runs, seconds, processes }) => [
    runs > 1 ? `${phase} (${runs} times)` : phase,
    seconds.toFixed(1),
    ...names.map((name) => processes[name]?.cpuSeconds.toFixed(1) ?? ''),
  ]);
  return table(['Phase', 'Wall', ...names], rows);
}

function memoryTable(phases: readonly PhaseUsage[]): string {
  const told = (phase: PhaseUsage, name: string): number => phase.processes[name]?.peakBytes ?? NaN;
  const names = processNames(phases).filter((name) =>
    phases.some((phase) => !Number.isNaN(told(phase, name))),
  );
  const rows = phases.map((phase) => [
    phase.phase,
    ...names.map((name) => {
      const bytes = told(phase, name);
      return Number.isNaN(bytes) ? '' : String(Math.round(bytes / 1e6));
    }),
  ]);
  return table(['Phase', ...names], rows);
}

function profileSection({ of, file, busySeconds, functions }: ProfileSummary): string[] {
  if (busySeconds < 0.5) return [];
  const rows = functions.map(({ name, seconds }) => [
    `\`${name}\``,
    seconds.toFixed(2),
    `${((seconds / busySeconds) * 100).toFixed(0)} %`,
  ]);
  const heading = `## Profile: ${of}, ${busySeconds.toFixed(1)} s busy by the clock (${file})`;
  return [heading, table(['Function itself', 'Seconds', 'Share'], rows)];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escaped).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function escaped(cell: string): string {
  return cell.replaceAll('|', '\\|');
}
