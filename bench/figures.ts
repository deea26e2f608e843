import { each, figure, megabytes, perSecond, rate, ratio, seconds, whole } from './figure.ts';
import type { Figure, Target } from './figure.ts';
import type { Measurements } from './measurements.ts';
import { filterFigures, narrowFigures } from './narrow-figures.ts';
import { median, percentile, sum } from './statistics.ts';
import type { PhaseUsage } from './usage.ts';

const LOAD_RATE: Target = { atLeast: 15_000, words: '≥ 15 000 resources/s' };
const WORKER_MEMORY: Target = { atMost: 400, words: '< 400 MB' };
const CAPTURE_MEMORY: Target = { atMost: 300, words: '< 300 MB' };

/** The measurements beside their targets. Pure. */
export function figuresOf(found: Measurements, phases: readonly PhaseUsage[]): readonly Figure[] {
  return [
    ...loads(found),
    ...wholes(found),
    ...partial(found),
    ...smalls(found),
    ...narrowFigures(found),
    ...filterFigures(found, phases),
    ...streams(found),
    memory('worker', phases, WORKER_MEMORY),
    memory('capture', phases, CAPTURE_MEMORY),
  ];
}

function loads(found: Measurements): Figure[] {
  const { resources, bytes, sourceLoadSeconds, firstLoadSeconds, firstLoadWall } = found;
  return [
    rate(
      'Load into PostgreSQL',
      { resources, bytes, seconds: sourceLoadSeconds },
      'headwater load, an empty table',
    ),
    rate(
      'First load by capture',
      { resources, bytes, seconds: firstLoadSeconds },
      `by capture's own log; ${seconds(firstLoadWall)} with the start of its process`,
      LOAD_RATE,
    ),
  ];
}

function wholes({ bytes, copy, copyMethod, consumed, full, replay }: Measurements): Figure[] {
  const copySeconds = median(copy);
  const fullSeconds = median(full.seconds);
  const recordBytes = consumed[0]?.bytes ?? NaN;
  const consumerRate = median(consumed.map((one) => one.bytes / one.seconds / 1e6));
  const replayRate = median(replay.map(({ busy }) => recordBytes / busy / 1e6));
  const threadRate = median(replay.map(({ threads }) => recordBytes / threads / 1e6));
  return [
    figure('COPY of the bodies', copySeconds, 's', {
      value: `${seconds(copySeconds)}, ${perSecond(bytes / copySeconds)}`,
      how: `${copyMethod}; ${each(copy)}`,
    }),
    figure("Kafka's own consumer", consumerRate, 'MB/s', {
      value: perSecond(consumerRate * 1e6),
      how: `ConsumerPerformance, its fetch time; ${megabytes(recordBytes)} of keys and values in ${each(consumed.map((one) => one.seconds))}`,
    }),
    figure('Full export', fullSeconds, 's', {
      value: `${seconds(fullSeconds)}, ${perSecond(full.bytes / fullSeconds)}`,
      how: `kick-off to manifest; ${each(full.seconds)}`,
    }),
    ratio('Full export / COPY', fullSeconds / copySeconds, { atMost: 1.5, words: '≤ 1.5' }, 'wall times'),
    ratio(
      "Replay / Kafka's own consumer",
      replayRate / consumerRate,
      { atLeast: 0.5, words: '≥ 0.5' },
      `${perSecond(replayRate * 1e6)} of keys and values while tasks ran, files written; ${perSecond(threadRate * 1e6)} each thread; ${replay[0]?.tasks ?? 0} tasks`,
    ),
  ];
}

function partial({ full, patient, patientShare, since }: Measurements): Figure[] {
  const fullSeconds = median(full.seconds);
  const patientSeconds = median(patient.seconds);
  const sinceSeconds = median(since.seconds);
  const limit = patientShare * fullSeconds + 0.3;
  return [
    figure('_type=Patient', patientSeconds, 's', {
      value: seconds(patientSeconds),
      target: { atMost: limit, words: `≤ ${seconds(limit)} (share of bytes + 0.3 s)` },
      how: `${(patientShare * 100).toFixed(2)} % of the bytes; ${each(patient.seconds)}`,
    }),
    figure('_since, 1 % changed', sinceSeconds, 's', {
      value: seconds(sinceSeconds),
      how: `${since.resources} resources, capture had caught up; ${each(since.seconds)}`,
    }),
    ratio(
      '_since, 1 % changed / full export',
      sinceSeconds / fullSeconds,
      { atMost: 0.05, words: '≤ 0.05' },
      'wall times',
    ),
  ];
}

function smalls({ smallType, smallSince, smallBeside }: Measurements): Figure[] {
  const target = { atMost: 0.5, words: 'p50 < 0.5 s' };
  return [
    smallFigure('Small exports, _type=Group', smallType, target),
    smallFigure('Small exports, _since just now', smallSince, target),
    smallFigure('Small exports beside a full one', smallBeside),
  ];
}

function smallFigure(name: string, runs: readonly number[], target?: Target): Figure {
  const p50 = percentile(runs, 0.5);
  return figure(name, p50, 's', {
    value: `p50 ${seconds(p50)}, p95 ${seconds(percentile(runs, 0.95))}`,
    ...(target && { target }),
    how: `${runs.length}, one after the other`,
  });
}

function streams({ streamSmall, streamHuge, commitLatencies }: Measurements): Figure[] {
  const p99 = percentile(commitLatencies, 0.99);
  return [
    rate(
      'Stream, transactions of 100',
      streamSmall,
      `from the first change to a cut; PostgreSQL itself took ${seconds(streamSmall.sourceSeconds)}`,
      LOAD_RATE,
    ),
    rate(
      'Stream, one transaction',
      streamHuge,
      `${streamHuge.resources} resources, from its commit to a cut; the update itself took ${seconds(streamHuge.sourceSeconds)}`,
      LOAD_RATE,
    ),
    figure('Commit to log, calm', p99, 'ms', {
      value: `p50 ${percentile(commitLatencies, 0.5).toFixed(0)} ms, p99 ${p99.toFixed(0)} ms`,
      target: { atMost: 100, words: 'p99 < 100 ms' },
      how: `${commitLatencies.length} single-row commits, until a reader has the record`,
    }),
  ];
}

function memory(name: string, phases: readonly PhaseUsage[], target: Target): Figure {
  const peak = Math.max(...phases.map(({ processes }) => processes[name]?.peakBytes ?? 0)) / 1e6;
  return figure(`Memory of ${name}`, peak, 'MB', {
    value: `${whole(peak)} MB`,
    target,
    how: 'highest resident size in any phase',
  });
}

/** CPU of all phases by process. */
export function cpuOf(phases: readonly PhaseUsage[], name: string): number {
  return sum(phases.map(({ processes }) => processes[name]?.cpuSeconds ?? 0));
}
