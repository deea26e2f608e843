import { each, figure, ratio, seconds } from './figure.ts';
import type { Figure } from './figure.ts';
import { LABORATORY } from './filtered.ts';
import { FILTERED, PLAIN } from './measurements.ts';
import type { Measurements, Repeated, ZonePair } from './measurements.ts';
import { median } from './statistics.ts';
import type { PhaseUsage } from './usage.ts';

/** Exports of some patients beside one of all. Pure. */
export function narrowFigures({
  narrow,
  shuffledGroup,
}: Pick<Measurements, 'narrow' | 'shuffledGroup'>): Figure[] {
  const { allPatients, members, group, onePatient, onePatientShare } = narrow;
  return [
    times('Full patient-level export', allPatients),
    times('Group of 1 % of the patients', group.zoned, `${members} members; ${read(group.shareRead)}`),
    ratio(
      'Group of 1 % / full patient-level export',
      median(group.zoned.seconds) / median(allPatients.seconds),
      { atMost: 0.1, words: '≤ 0.10' },
      'wall times, of data loaded patient by patient',
    ),
    times('One patient', onePatient, read(onePatientShare)),
    ratio(
      'Group of 1 %, with zones / without',
      withZonesToWithout(group),
      undefined,
      `of the same data; without ${each(group.unzoned.seconds)}`,
    ),
    ratio(
      'Shuffled: Group of 1 %, with zones / without',
      withZonesToWithout(shuffledGroup),
      { atMost: 1.05, words: '≤ 1.05' },
      `of the same data in random order: three with zones (${each(shuffledGroup.zoned.seconds)}), then three without (${each(shuffledGroup.unzoned.seconds)}); ${read(shuffledGroup.shareRead)}`,
    ),
  ];
}

/** What filtering costs. Wall times have the fixed time of an export in them, hence CPU. Pure. */
export function filterFigures(
  { filtered }: Pick<Measurements, 'filtered'>,
  phases: readonly PhaseUsage[],
): Figure[] {
  const { plain, everything, laboratory } = filtered;
  const cpu = (phase: string): number =>
    phases.find((one) => one.phase === phase)?.processes['worker']?.cpuSeconds ?? NaN;
  const [plainCpu, filteredCpu] = [cpu(PLAIN), cpu(FILTERED)];
  return [
    ratio(
      '_typeFilter that all fit / none',
      filteredCpu / plainCpu,
      { atMost: 3, words: '≤ 3' },
      `CPU of worker, the same bytes of Observation: ${filteredCpu.toFixed(2)} s with it, ${plainCpu.toFixed(2)} s without, ${plain.seconds.length} exports each, by turns; wall times ${each(everything.seconds)} and ${each(plain.seconds)}`,
    ),
    times(`_typeFilter=${LABORATORY}`, laboratory, `of ${plain.resources} of the type`),
  ];
}

function times(name: string, run: Repeated, more = 'kick-off to manifest'): Figure {
  const value = median(run.seconds);
  return figure(name, value, 's', {
    value: seconds(value),
    how: `${run.resources} resources; ${more}; ${each(run.seconds)}`,
  });
}

function withZonesToWithout({ zoned, unzoned }: ZonePair): number {
  return median(zoned.seconds) / median(unzoned.seconds);
}

function read(share: number): string {
  return `${(share * 100).toFixed(1)} % of all patients' bytes to be read, as planned`;
}
