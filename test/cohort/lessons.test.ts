import assert from 'node:assert/strict';
import { linesOf } from './exported.ts';
import { instantOf, World } from './world.ts';
import type { Json, Write } from './world.ts';
import { gone, put, to } from './writes.ts';

const groupOf = (...keys: readonly string[]): Json => ({ member: keys.map((key) => ({ entity: to(key) })) });
const observationOf = (id: string, patient: string, more: Json = {}): Write =>
  put('Observation', id, { subject: to(`Patient/${patient}`), ...more });

const GROUP = { level: 'group', group: 'g' } as const;
const PATIENTS = { level: 'patient' } as const;
const ONE = { level: 'patient', patients: ['ann'] } as const;

/** Ann and Bob, an observation of each, and a group of Ann alone. */
function annAndBob(): World {
  const world = new World();
  world.load([
    put('Patient', 'ann'),
    put('Patient', 'bob'),
    observationOf('of-ann', 'ann'),
    observationOf('of-bob', 'bob'),
    put('Group', 'g', groupOf('Patient/ann')),
  ]);
  return world;
}

/** What users of other export servers complain about. */
describe('lessons of other export servers', () => {
  it('what was deleted, and what left a compartment, is in deleted at every level', async () => {
    const world = annAndBob();
    world.commit([observationOf('moved', 'ann'), observationOf('removed', 'ann')]);
    const since = instantOf(world.cut());
    world.pass(5);
    world.commit([observationOf('moved', 'bob')]);
    world.commit([observationOf('moved', 'bob', { note: 'and changed again' })]);
    world.commit([gone('Observation', 'removed')]);
    const cut = world.cut();
    const both = ['Observation/moved', 'Observation/removed'];
    assert.deepEqual([...(await world.export(cut, { ...GROUP, since })).deleted].sort(), both);
    assert.deepEqual([...(await world.export(cut, { ...ONE, since })).deleted].sort(), both);
    // Bob is a patient as well.
    assert.deepEqual((await world.export(cut, { ...PATIENTS, since })).deleted, ['Observation/removed']);
    assert.deepEqual((await world.export(cut, { since })).deleted, ['Observation/removed']);
  });

  it('a group is one pass over the log, however many members it has, and none over where they are not', async () => {
    const patients = Array.from({ length: 200 }, (_, i) => `p${i}`);
    const world = new World(5);
    world.load([
      ...patients.flatMap((id) => [
        put('Patient', id),
        ...Array.from({ length: 5 }, (_, n) => observationOf(`${id}-${n}`, id)),
      ]),
      put('Group', 'all', groupOf(...patients.map((id) => `Patient/${id}`))),
      put('Group', 'two', groupOf('Patient/p7', 'Patient/p150')),
    ]);
    const cut = world.cut();
    const cost = async (group: string): Promise<number> => {
      const before = world.recordsRead;
      await world.export(cut, { level: 'group', group, types: ['Observation'] });
      return world.recordsRead - before;
    };
    const all = await cost('all');
    assert(all <= 1_000 + 10, `${all} records are read for 1000`);
    const two = await cost('two');
    assert(two <= 50, `${two} records are read for 10`);
  });

  it('who joins a group comes with all of the past, who leaves it is reported, in one request', async () => {
    const world = annAndBob();
    const since = instantOf(world.cut());
    world.pass(5);
    world.commit([put('Group', 'g', groupOf('Patient/bob'))]);
    const changes = await world.export(world.cut(), { ...GROUP, since });
    assert.deepEqual([...linesOf(changes).keys()].sort(), ['Group/g', 'Observation/of-bob', 'Patient/bob']);
    assert.deepEqual([...changes.deleted].sort(), ['Observation/of-ann', 'Patient/ann']);
  });

  it('a group without members exports nothing and says so, one that is not there fails, others stay out', async () => {
    const world = annAndBob();
    world.commit([
      put('Group', 'empty'),
      put('Group', 'closed', { ...groupOf('Patient/ann'), active: false }),
      put('Group', 'stopped', { member: [{ entity: to('Patient/ann'), inactive: true }] }),
      put('Group', 'over', { member: [{ entity: to('Patient/ann'), period: { end: '2020' } }] }),
      put('Group', 'itself', groupOf('Group/itself')),
      put('Group', 'hollow', groupOf('Group/empty', 'Practitioner/x', 'Group/nowhere')),
      put('Group', 'other', groupOf('Patient/ann', 'Patient/bob')),
    ]);
    world.commit([put('Group', 'removed', groupOf('Patient/ann'))]);
    world.commit([gone('Group', 'removed')]);
    const cut = world.cut();
    for (const group of ['empty', 'closed', 'stopped', 'over', 'itself', 'hollow']) {
      const { failed, output, problems } = await world.export(cut, { level: 'group', group });
      assert.deepEqual({ failed, output }, { failed: undefined, output: [] }, group);
      assert(problems.length > 0 && problems.every((text) => text.startsWith('warning ')), group);
    }
    for (const group of ['removed', 'never'])
      assert.equal((await world.export(cut, { level: 'group', group })).failed, 'not-found');
    const { failed } = await world.export(cut, { ...GROUP, patients: ['bob'] });
    assert.equal(failed, 'bad-request');
    const keys = [...linesOf(await world.export(cut, GROUP)).keys()].sort();
    assert.deepEqual(keys, ['Group/g', 'Observation/of-ann', 'Patient/ann']);
  });

  it('resources in no compartment come along when _type names them and a returned resource refers to them', async () => {
    const world = annAndBob();
    world.commit([
      ...['known', 'unknown', 'new'].map((id) => put('Practitioner', id)),
      put('Organization', 'house'),
      observationOf('of-ann', 'ann', { performer: [to('Practitioner/known'), to('Organization/house')] }),
      observationOf('of-bob', 'bob', { performer: [to('Practitioner/unknown')] }),
    ]);
    const types = ['Observation', 'Organization', 'Practitioner'];
    const first = world.cut();
    const all = await world.export(first, { ...GROUP, types });
    const keys = ['Observation/of-ann', 'Organization/house', 'Practitioner/known'];
    assert.deepEqual([...linesOf(all).keys()].sort(), keys);
    assert.deepEqual(
      [...linesOf(await world.export(first, { ...GROUP, types: ['Observation'] })).keys()],
      ['Observation/of-ann'],
    );
    world.pass(5);
    world.commit([observationOf('of-ann', 'ann', { performer: [to('Practitioner/new')] })]);
    const changes = await world.export(world.cut(), { ...GROUP, types, since: instantOf(first) });
    assert.deepEqual([...linesOf(changes).keys()].sort(), ['Observation/of-ann', 'Practitioner/new']);
    assert.deepEqual([...changes.deleted].sort(), ['Organization/house', 'Practitioner/known']);
  });
});
