import assert from 'node:assert/strict';
import { linesOf } from '../cohort/exported.ts';
import { instantOf, World } from '../cohort/world.ts';
import type { Exported, Json } from '../cohort/world.ts';
import { gone, put, to } from '../cohort/writes.ts';

const about = (key: string, recorded = '2026-01-01T00:00:00Z'): Json => ({ target: [to(key)], recorded });

const ANN = { level: 'patient', patients: ['ann'] } as const;
const keysOf = (exported: Exported): string[] => [...linesOf(exported).keys()].sort();

function annAndBob(): World {
  const world = new World();
  world.load([
    ...['ann', 'bob'].flatMap((id) => [
      put('Patient', id),
      put('Observation', `of-${id}`, { subject: to(`Patient/${id}`) }),
    ]),
  ]);
  return world;
}

describe('resources that come along with others', () => {
  it('are the latest Provenance by instant, however it is written', async () => {
    const pairs: readonly (readonly [older: string, newer: string])[] = [
      ['2026-03-01T10:00:00+05:00', '2026-03-01T09:00:00Z'],
      ['2026-03-01T10:00:00Z', '2026-03-01T10:00:00.5Z'],
      ['2026-03-01T23:00:00+14:00', '2026-03-01T10:00:00-01:00'],
      ['never', '0001-01-01T00:00:00Z'],
    ];
    for (const [older, newer] of pairs) {
      const world = annAndBob();
      world.commit([
        put('Provenance', 'newer', about('Observation/of-ann', newer)),
        put('Provenance', 'older', about('Observation/of-ann', older)),
        put('Provenance', 'other', about('Observation/of-bob', newer)),
      ]);
      const latest = await world.export(world.cut(), { ...ANN, provenance: 'latest' });
      assert.deepEqual(keysOf(latest), ['Observation/of-ann', 'Patient/ann', 'Provenance/newer'], older);
    }
  });

  it('are not Provenance of what _typeFilter has left out', async () => {
    const world = annAndBob();
    world.commit([
      put('Observation', 'kept', { subject: to('Patient/ann'), status: 'final' }),
      put('Provenance', 'of-kept', about('Observation/kept')),
      put('Provenance', 'of-left-out', about('Observation/of-ann')),
    ]);
    const exported = await world.export(world.cut(), {
      ...ANN,
      types: ['Observation'],
      typeFilters: ['Observation?status=final'],
      provenance: 'relevant',
    });
    assert.deepEqual(keysOf(exported), ['Observation/kept', 'Provenance/of-kept']);
  });

  it('are Provenance that are older than what brings them into scope', async () => {
    const world = annAndBob();
    world.commit([put('Provenance', 'early', about('Observation/later'))]);
    const since = instantOf(world.cut());
    world.pass(5);
    world.commit([put('Observation', 'later', { subject: to('Patient/ann') })]);
    const cut = world.cut();
    assert.deepEqual(keysOf(await world.export(cut, { ...ANN, since })), [
      'Observation/later',
      'Provenance/early',
    ]);
    world.pass(5);
    world.commit([gone('Observation', 'later')]);
    const { deleted } = await world.export(world.cut(), { ...ANN, since: instantOf(cut) });
    assert.deepEqual([...deleted].sort(), ['Observation/later', 'Provenance/early']);
  });

  it('are reported as gone only to clients that may have them, as long as the log knows', async () => {
    const world = annAndBob();
    world.commit([
      put('Provenance', 'of-ann', about('Observation/of-ann')),
      put('Provenance', 'of-bob', about('Observation/of-bob')),
      put('Provenance', 'of-both', about('Observation/of-ann')),
    ]);
    const since = instantOf(world.cut());
    world.pass(5);
    world.commit([gone('Provenance', 'of-ann'), gone('Provenance', 'of-bob')]);
    world.commit([put('Provenance', 'of-both', about('Observation/of-bob'))]);
    const cut = world.cut();
    const told = async (): Promise<string[]> =>
      [...(await world.export(cut, { ...ANN, since })).deleted].sort();
    assert.deepEqual(await told(), ['Provenance/of-ann', 'Provenance/of-both']);
    world.compact();
    assert((await told()).includes('Provenance/of-ann'), 'rather one too many');
  });

  it('are found in JSON that escapes slashes and has spaces, and not in its texts', async () => {
    const world = annAndBob();
    const practitioners = ['plain', 'versioned', 'quoted', 'elsewhere'];
    world.commit([
      ...practitioners.map((id) => put('Practitioner', id)),
      put('Observation', 'of-ann', {
        subject: to('Patient/ann'),
        performer: [
          to('Practitioner/plain'),
          to('Practitioner/versioned/_history/2'),
          to('http://elsewhere.example/fhir/Practitioner/elsewhere'),
        ],
        note: [{ text: '"reference":"Practitioner/quoted"' }],
      }),
    ]);
    const types = ['Observation', 'Practitioner'];
    const expected = ['Observation/of-ann', 'Practitioner/plain', 'Practitioner/versioned'];
    assert.deepEqual(keysOf(await world.export(world.cut(), { ...ANN, types })), expected);
    world.commitLine('Observation', 'of-ann', (line) => line.replaceAll('/', '\\/').replaceAll(':', ' : '));
    assert.deepEqual(keysOf(await world.export(world.cut(), { ...ANN, types })), expected);
  });

  it('are named in error when they cannot be exported', async () => {
    const world = annAndBob();
    world.commit([
      put('Provenance', 'large', { ...about('Patient/ann'), text: 'x'.repeat(5_000) }),
      put('Observation', 'large', { subject: to('Patient/ann'), text: 'x'.repeat(5_000) }),
    ]);
    const { output, problems } = await world.export(world.cut(), ANN);
    assert.equal(output.length, 2);
    assert.deepEqual(problems.map((text) => text.split(' ').slice(0, 2).join(' ')).sort(), [
      'error Observation/large',
      'error Provenance/large',
    ]);
  });
});
