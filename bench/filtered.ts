import type { BenchSystem } from './bench-system.ts';
import { FILTERED, PLAIN } from './measurements.ts';
import type { Filtered } from './measurements.ts';
import type { Phases } from './phases.ts';
import { byTurns, together } from './repeat.ts';

/** Every code of the value set that R4 binds Observation.status to. */
const ALL =
  'Observation?status=final,amended,corrected,preliminary,registered,entered-in-error,unknown,cancelled';
export const LABORATORY = 'Observation?category=laboratory&date=ge2015';

/** The same bytes with a filter and without, and a typical filter of a client. */
export async function filteredExports(system: BenchSystem, phases: Phases): Promise<Filtered> {
  const types = ['Observation'];
  const runs = await byTurns(system, phases, {
    plain: { phase: PLAIN, wanted: { types } },
    everything: { phase: FILTERED, wanted: { types, typeFilters: [ALL] } },
    laboratory: { phase: '_typeFilter, laboratory', wanted: { types, typeFilters: [LABORATORY] } },
  });
  together([...runs.plain, ...runs.everything]);
  return {
    plain: together(runs.plain),
    everything: together(runs.everything),
    laboratory: together(runs.laboratory),
  };
}
