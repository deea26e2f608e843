import { discard, timedExport } from './exports.ts';
import type { ExportRun, Wanted } from './exports.ts';
import type { BenchSystem } from './bench-system.ts';
import type { Repeated } from './measurements.ts';
import type { Phases } from './phases.ts';

export const ROUNDS = 3;

/** Several exports by turns, so that other load on the machine meets all alike. Their files go in between. */
export async function byTurns<K extends string>(
  system: BenchSystem,
  phases: Phases,
  kinds: Readonly<Record<K, { readonly phase: string; readonly wanted: Wanted }>>,
): Promise<Record<K, readonly ExportRun[]>> {
  const names = Object.keys(kinds) as K[];
  const runs = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<K, ExportRun[]>;
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) {
      const { phase, wanted } = kinds[name];
      const run = await phases.run(phase, (signal) => timedExport(system, wanted, signal));
      runs[name].push(run);
      await discard(system, run, phases.signal);
    }
  }
  return runs;
}

export async function repeated(
  system: BenchSystem,
  phases: Phases,
  phase: string,
  wanted: Wanted,
): Promise<Repeated> {
  return together((await byTurns(system, phases, { it: { phase, wanted } })).it);
}

/** Of runs of one export. Throws when they differ in what they returned. */
export function together(runs: readonly Pick<ExportRun, 'seconds' | 'resources' | 'bytes'>[]): Repeated {
  const [first = { resources: NaN, bytes: NaN }] = runs;
  const { resources, bytes } = first;
  const other = runs.find((run) => run.resources !== resources || run.bytes !== bytes);
  if (other)
    throw new Error(
      `the same export has ${resources} resources, ${bytes} bytes, and then ${other.resources}, ${other.bytes}`,
    );
  return { seconds: runs.map(({ seconds }) => seconds), resources, bytes };
}
