import fc from 'fast-check';
import { World } from './world.ts';
import type { Json, Write } from './world.ts';

const PATIENTS = ['p1', 'p2', 'p3', 'p4'];
const GROUPS = ['g1', 'g2', 'g3'];
const BEGINNING = Date.UTC(2026, 0, 1);

const reference = (keys: readonly string[]): fc.Arbitrary<Json> =>
  fc.constantFrom(...keys).map((key) => ({ reference: key }));
const keysOf = (type: string, ids: readonly string[]): string[] => ids.map((id) => `${type}/${id}`);

const patient = reference([...keysOf('Patient', PATIENTS), 'Patient/p1/_history/3']);
const practitioner = reference(keysOf('Practitioner', ['d1', 'd2', 'd3']));
const nonce = fc.nat(99);
/** Why it cannot be exported. */
const trouble = fc.constantFrom(undefined, undefined, undefined, undefined, undefined, 'large', 'cut');

/** To the millisecond, since those of the tests' clock are. */
const bound = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.integer({ min: 0, max: 12 }).map((n) => new Date(BEGINNING + 500 * n).toISOString()),
  },
  { weight: 1, arbitrary: fc.constantFrom('2020', '2099', '2026') },
);
const period = fc.record({ start: bound, end: bound }, { requiredKeys: [] });
const member = fc.record(
  {
    entity: fc.oneof(
      { weight: 8, arbitrary: patient },
      { weight: 3, arbitrary: reference(keysOf('Group', GROUPS)) },
      { weight: 1, arbitrary: practitioner },
    ),
    inactive: fc.constantFrom(false, false, true),
    period,
  },
  { requiredKeys: ['entity'] },
);

const ids = (...names: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...names);
const put = (type: string, id: fc.Arbitrary<string>, resource: fc.Arbitrary<Json>): fc.Arbitrary<Write> =>
  fc.record({ type: fc.constant(type), id, resource });

const PUTS: Readonly<Record<string, fc.Arbitrary<Write>>> = {
  Patient: put(
    'Patient',
    ids(...PATIENTS),
    fc.record(
      { nonce, link: fc.array(fc.record({ other: patient }), { maxLength: 1 }) },
      { requiredKeys: ['nonce'] },
    ),
  ),
  Observation: put(
    'Observation',
    ids('o1', 'o2', 'o3'),
    fc.record(
      {
        nonce,
        status: fc.constantFrom('final', 'preliminary'),
        subject: patient,
        performer: fc.array(fc.oneof(practitioner, patient), { maxLength: 2 }),
        trouble,
      },
      { requiredKeys: ['nonce', 'trouble'] },
    ),
  ),
  Appointment: put(
    'Appointment',
    ids('a1', 'a2'),
    fc.record({
      nonce,
      participant: fc.array(fc.record({ actor: fc.oneof(patient, practitioner) }), { maxLength: 3 }),
    }),
  ),
  Provenance: put(
    'Provenance',
    ids('v1', 'v2', 'v3'),
    fc.record({
      target: fc.array(
        reference([
          ...keysOf('Patient', PATIENTS),
          ...keysOf('Observation', ['o1', 'o2', 'o3']),
          'Observation/o1/_history/1',
          'Appointment/a1',
          'Group/g1',
          'Practitioner/d1',
        ]),
        { minLength: 1, maxLength: 2 },
      ),
      // No two alike, or which is the latest would be anyone's guess.
      recorded: fc
        .uniqueArray(fc.integer({ min: 0, max: 1e9 }), { minLength: 1, maxLength: 1 })
        .chain(([ms = 0]) => instantIn(ms)),
    }),
  ),
  Practitioner: put(
    'Practitioner',
    ids('d1', 'd2', 'd3'),
    fc.record({ nonce, active: fc.boolean(), trouble }),
  ),
  Group: put(
    'Group',
    ids(...GROUPS),
    fc.record(
      { nonce, active: fc.constantFrom(true, true, false), member: fc.array(member, { maxLength: 4 }) },
      { requiredKeys: ['nonce'] },
    ),
  ),
};

/** The same instant as different people would write it. */
function instantIn(ms: number): fc.Arbitrary<string> {
  const zoned = (hours: number, zone: string): string =>
    new Date(BEGINNING + ms + hours * 3_600_000).toISOString().replace('Z', zone);
  return fc.constantFrom(zoned(0, 'Z'), zoned(5, '+05:00'), zoned(-7, '-07:00'));
}

const WEIGHTS = { Patient: 3, Observation: 5, Appointment: 2, Provenance: 4, Practitioner: 2, Group: 4 };

const write: fc.Arbitrary<Write> = fc
  .tuple(
    fc.oneof(
      ...Object.entries(WEIGHTS).flatMap(([type, weight]) => {
        const arbitrary = PUTS[type];
        return arbitrary ? [{ weight, arbitrary }] : [];
      }),
    ),
    fc.integer({ min: 0, max: 4 }),
  )
  .map(([one, dice]) => (dice === 0 ? { ...one, resource: undefined } : one));

/** What happens between two exports. */
export interface Chapter {
  readonly transactions: readonly { readonly wait: number; readonly writes: readonly Write[] }[];
}

export const chapter: fc.Arbitrary<Chapter> = fc.record({
  transactions: fc.array(
    fc.record({
      wait: fc.constantFrom(0, 0, 1, 700),
      writes: fc.array(write, { minLength: 1, maxLength: 4 }),
    }),
    { maxLength: 6 },
  ),
});

/** The world before the first export: richer, so that there is something to lose. */
export const beginning: fc.Arbitrary<Chapter> = fc.record({
  transactions: fc.array(
    fc.record({ wait: fc.constant(1), writes: fc.array(write, { minLength: 3, maxLength: 8 }) }),
    {
      minLength: 2,
      maxLength: 5,
    },
  ),
});

/** A world whose log begins with a load. */
export function worldOf({ transactions: [first, ...rest] }: Chapter, zoneRecords: number): World {
  const world = new World(zoneRecords);
  world.load(first?.writes ?? []);
  play(world, { transactions: rest });
  return world;
}

export function play(world: World, { transactions }: Chapter): void {
  for (const { wait, writes } of transactions) {
    world.pass(wait);
    world.commit(writes);
  }
  world.pass(1);
}
