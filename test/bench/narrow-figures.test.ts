import assert from 'node:assert/strict';
import { filterFigures, narrowFigures } from '../../bench/narrow-figures.ts';
import { FILTERED, PLAIN } from '../../bench/measurements.ts';
import type { Repeated, ZonePair } from '../../bench/measurements.ts';
import type { PhaseUsage } from '../../bench/usage.ts';

const took = (...seconds: number[]): Repeated => ({ seconds, resources: 100, bytes: 1000 });
const pair = (zoned: Repeated, unzoned: Repeated): ZonePair => ({ zoned, unzoned, shareRead: 0.05 });

describe('figures of exports of some patients', () => {
  const of = (group: number, shuffled: number) => {
    const narrow = {
      allPatients: took(9, 10, 11),
      members: 10,
      group: pair(took(group), took(4)),
      onePatient: took(0.2),
      onePatientShare: 0.01,
    };
    const figures = narrowFigures({ narrow, shuffledGroup: pair(took(shuffled), took(2)) });
    return (name: string) => figures.find((figure) => figure.name === name);
  };

  it('compare the Group with the median of all patients', () => {
    const name = 'Group of 1 % / full patient-level export';
    assert.deepEqual([of(1, 1)(name)?.number, of(1, 1)(name)?.reached], [0.1, true]);
    assert.equal(of(1.01, 1)(name)?.reached, false);
  });

  it('compare the shuffled Group with itself without zones', () => {
    const name = 'Shuffled: Group of 1 %, with zones / without';
    assert.deepEqual([of(1, 2.1)(name)?.number, of(1, 2.1)(name)?.reached], [1.05, true]);
    assert.equal(of(1, 2.12)(name)?.reached, false);
  });

  it('ask nothing of the sorted Group with zones and without', () => {
    const figure = of(1, 1)('Group of 1 %, with zones / without');
    assert.deepEqual([figure?.number, figure?.target, figure?.reached], [0.25, undefined, undefined]);
  });
});

describe('figures of filters', () => {
  const phase = (name: string, cpuSeconds: number): PhaseUsage => {
    const unused = { cpuSeconds: 9, peakBytes: 0 };
    return {
      phase: name,
      runs: 3,
      seconds: 3,
      processes: { worker: { cpuSeconds, peakBytes: 0 }, kafka: unused },
    };
  };

  it('compare the CPU of worker, not how long exports took', () => {
    const filtered = { plain: took(1), everything: took(1.5), laboratory: took(1) };
    const [figure] = filterFigures({ filtered }, [phase(PLAIN, 2), phase(FILTERED, 7)]);
    assert.deepEqual([figure?.number, figure?.reached], [3.5, false]);
  });
});
