import type { Cohort } from '../../src/cohort/cohort.ts';
import { ALL_RIGHTS } from '../../src/cohort/rights.ts';
import { Selection } from '../../src/replay/selection.ts';
import type { Period } from '../../src/replay/selection.ts';

/** The selection of a client that may have everything. */
export function selectionOf(
  period: Period,
  cohort: Cohort | undefined,
  type: string,
  filtered = false,
): Selection {
  return Selection.of(period, { cohort, rights: ALL_RIGHTS }, type, filtered);
}
