import assert from 'node:assert/strict';
import { jobsThatHeld } from '../../src/audit/disclosures.ts';
import type { DisclosedPatients } from '../../src/events/audit.ts';
import { MAX_HASHED, MAX_NAMED, PatientCollector } from '../../src/replay/disclosed-patients.ts';

function collected(count: number, rounds = 1): DisclosedPatients | undefined {
  const collector = new PatientCollector();
  for (let round = 0; round < rounds; round++)
    for (let i = 0; i < count; i++) collector.add([idOf(i), idOf(0)]);
  return collector.value;
}

const idOf = (i: number): string => `patient-${String(i)}`;

async function held(id: string, disclosed: DisclosedPatients | undefined): Promise<string | undefined> {
  assert.ok(disclosed);
  return (await jobsThatHeld(id, once({ jobId: 'job', taskId: '1', ...disclosed }))).get('job');
}

async function* once<T>(value: T): AsyncIterable<T> {
  yield await Promise.resolve(value);
}

describe('the patients that a task wrote about', () => {
  it('are none if it wrote about none', () => {
    assert.equal(new PatientCollector().value, undefined);
  });

  it(`are named up to ${String(MAX_NAMED)}, each once`, async () => {
    const few = collected(MAX_NAMED, 2);
    assert.equal(few?.patients.length, MAX_NAMED);
    assert.equal(few.hashes.length, 0);
    assert.equal(await held(idOf(17), few), 'named');
    assert.equal(await held('another', few), undefined);
  });

  it('beyond that are all found, and of 20 000 others less than one in a hundred', async () => {
    const count = 120_000;
    const many = collected(count, 3);
    assert.equal(many?.patients.length, 0);
    assert.equal(many.hashes.length, 6 * count);
    for (let i = 0; i < count; i += 97) assert.equal(await held(idOf(i), many), 'named', idOf(i));
    let wrong = 0;
    for (let i = 0; i < 20_000; i++) if ((await held(`other-${String(i)}`, many)) !== undefined) wrong++;
    assert.ok(wrong < 200, `${String(wrong)} others are found`);
  });

  it('are all patients if they are too many to keep', async () => {
    const all = collected(3 * MAX_HASHED);
    assert.deepEqual(all, { all: true, patients: [], hashes: Buffer.alloc(0) });
    assert.equal(await held('another', all), 'all');
  });
});
