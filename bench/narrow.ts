import type { BenchSystem } from './bench-system.ts';
import { timeToCut } from './changes.ts';
import { ReplayTimes } from './exports.ts';
import type { ExportRun, Wanted } from './exports.ts';
import type { Narrow, ZonePair } from './measurements.ts';
import { addGroup, expectedOf, ONE_PERCENT } from './members.ts';
import type { Expected } from './members.ts';
import type { Phases } from './phases.ts';
import { byTurns, together } from './repeat.ts';

export const GROUP_EXPORT: Wanted = { group: ONE_PERCENT };

/** Exports of all patients, of a Group and of one patient, by turns. Afterwards the log has no zones. */
export async function narrowExports(system: BenchSystem, phases: Phases): Promise<Narrow> {
  const { sourceUrl } = system.settings;
  const members = await phases.run('making a Group', async (signal) => {
    const ids = await addGroup(sourceUrl);
    await timeToCut(system, signal);
    return ids;
  });
  const [member = ''] = members;
  const expected = await phases.run('counting what patients have', () => expectedOf(sourceUrl, members));
  const times = await ReplayTimes.from(system.log);
  const runs = await byTurns(system, phases, {
    allPatients: { phase: 'Patient/$export', wanted: { allPatients: true } },
    group: { phase: 'Group of 1 %', wanted: GROUP_EXPORT },
    onePatient: { phase: 'one patient', wanted: { ofPatient: member } },
  });
  checkAll(runs, expected);
  return {
    allPatients: together(runs.allPatients),
    members: members.length,
    group: await besideUnzoned(system, phases, {
      phase: 'Group of 1 %, no zones',
      times,
      zoned: runs.group,
    }),
    onePatient: together(runs.onePatient),
    onePatientShare: await shareRead(times, phases, [runs.onePatient, runs.allPatients]),
  };
}

function checkAll(runs: Readonly<Record<keyof Expected, readonly ExportRun[]>>, expected: Expected): void {
  for (const name of Object.keys(expected) as (keyof Expected)[]) {
    const { resources } = together(runs[name]);
    if (resources !== expected[name])
      throw new Error(`the export "${name}" has ${resources} of ${expected[name]} resources`);
  }
}

/** The export of the Group again, of the same log, but without its zones. Throws when it returns anything else. */
export async function besideUnzoned(
  system: BenchSystem,
  phases: Phases,
  { phase, times, zoned }: { phase: string; times: ReplayTimes; zoned: readonly ExportRun[] },
): Promise<ZonePair> {
  const { admin, names } = system.log;
  await admin.emptyTopic(names.zones);
  const { unzoned } = await byTurns(system, phases, { unzoned: { phase, wanted: GROUP_EXPORT } });
  together([...zoned, ...unzoned]);
  return {
    zoned: together(zoned),
    unzoned: together(unzoned),
    shareRead: await shareRead(times, phases, [zoned, unzoned]),
  };
}

async function shareRead(
  times: ReplayTimes,
  { signal }: Phases,
  kinds: readonly [part: readonly ExportRun[], whole: readonly ExportRun[]],
): Promise<number> {
  const [part = NaN, whole = NaN] = await Promise.all(
    kinds.map(async ([run]) => (run ? (await times.of(run.jobId, signal)).plannedBytes : NaN)),
  );
  return part / whole;
}
