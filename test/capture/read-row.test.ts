import assert from 'node:assert/strict';
import { lsn, stamp } from '../../src/base/positions.ts';
import { changesOf } from '../../src/capture/change.ts';
import { keyId, readRow } from '../../src/capture/read-row.ts';
import type { SourceRow } from '../../src/capture/presets/source-row.ts';
import { MANY_PATIENTS, MAX_PATIENTS } from '../../src/events/resource-change.ts';
import { References } from '../../src/fhir/reference.ts';

const BASE = 'https://fhir.example.org/r4';
const rules = { maxBytes: 64 << 20, references: new References([BASE]) };
const point = { stamp: stamp(7), lsn: lsn(9n) };

function row(type: string, id: string, body: string | Buffer): SourceRow {
  return { type, id, version: '1', lastUpdated: null, body: Buffer.from(body), deleted: false };
}

function group(id: string, members: readonly string[]): SourceRow {
  const member = members.map((patient) => ({ entity: { reference: `Patient/${patient}` } }));
  return row('Group', id, JSON.stringify({ resourceType: 'Group', id, member }));
}

const ids = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}${String(i)}`);

const nested = (levels: number): string => '{"a":'.repeat(levels) + '1' + '}'.repeat(levels);

describe('a row of the source', () => {
  it('is a resource when its body has its type and id', () => {
    const read = readRow(row('Patient', 'a', '{"resourceType":"Patient","id":"a"}'), rules);
    assert.equal(read.problem, undefined);
    assert.ok(read.body);
    assert.deepEqual([...read.patients], ['a']);
  });

  const bad: [why: RegExp, row: SourceRow][] = [
    [/resourceType/, row('Patient', 'a', '{}')],
    [/resourceType/, row('Patient', 'a', '{"resourceType":"Group","id":"a"}')],
    [/the id in its body/, row('Patient', 'a', '{"resourceType":"Patient","id":"b"}')],
    [/the id in its body/, row('Patient', 'a', '{"resourceType":"Patient"}')],
    [/its id/, row('Patient', 'pat_under', '{"resourceType":"Patient","id":"pat_under"}')],
    [/its id/, row('Patient', 'a b', '{"resourceType":"Patient","id":"a b"}')],
    [/its id/, row('Patient', 'a'.repeat(70), `{"resourceType":"Patient","id":"${'a'.repeat(70)}"}`)],
    [/its id/, row('Patient', '', '{"resourceType":"Patient","id":""}')],
    [
      /not UTF-8/,
      row('Patient', 'a', Buffer.from('{"resourceType":"Patient","id":"a","x":"\xff"}', 'latin1')),
    ],
    [/not JSON/, row('Patient', 'a', '{"secret":')],
    [/not a JSON object/, row('Patient', 'a', '["secret"]')],
  ];
  for (const [why, one] of bad) {
    it(`is named and not exported with id "${one.id.slice(0, 10)}" and body ${String(one.body).slice(0, 40)}`, () => {
      const read = readRow(one, rules);
      assert.equal(read.body, null);
      assert.match(read.problem ?? '', why);
      assert.doesNotMatch(read.problem ?? '', /secret/);
      assert.ok(read.patients.size > 0, 'exports of patients name it as well');
    });
  }

  it('that was good and becomes bad tells whose it was', () => {
    const good = row(
      'Observation',
      'o',
      '{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/a"}}',
    );
    const [change] = changesOf(good, { ...good, body: Buffer.from('{}') }, point, rules);
    assert.equal(change?.change.operation, 'update');
    assert.equal(change.change.body, null);
    assert.ok(change.change.problem);
    assert.deepEqual(change.change.leftPatients, ['a']);
  });

  it('of no type of FHIR R4 is reported while it lives, and its removal is not', () => {
    const strange = row('Patiënt', 'a', '{}');
    assert.deepEqual(
      changesOf(undefined, strange, point, rules).map(({ change }) => change.operation),
      ['create'],
    );
    assert.deepEqual(changesOf(strange, undefined, point, rules), []);
  });

  it('nested as deep as 100 000 levels is read, with its patients', () => {
    const deep = `{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/a"},"x":${nested(100_000)}}`;
    const read = readRow(row('Observation', 'o', deep), rules);
    assert.equal(read.problem, undefined);
    assert.deepEqual([...read.patients], ['a']);
    const lists = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const odd = `{"resourceType":"Group","id":"g","member":${lists}}`;
    assert.equal(readRow(row('Group', 'g', odd), rules).problem, undefined);
  });

  it('names patients by absolute references below the base URL of the server', () => {
    const body = `{"resourceType":"Observation","id":"o","subject":{"reference":"${BASE}/Patient/a/_history/2"}}`;
    assert.deepEqual([...readRow(row('Observation', 'o', body), rules).patients], ['a']);
  });

  it('names no more patients than a record has room for', () => {
    const some = changesOf(undefined, group('g', ids('a', MAX_PATIENTS)), point, rules);
    assert.equal(some[0]?.change.patients.length, MAX_PATIENTS);
    const before = group('g', ids('a', 100_000));
    const [change] = changesOf(before, group('g', ids('b', 100_000)), point, rules);
    assert.deepEqual(change?.change.patients, [MANY_PATIENTS]);
    assert.deepEqual(change.change.leftPatients, [MANY_PATIENTS]);
    const [deleted] = changesOf(before, undefined, point, rules);
    assert.deepEqual(deleted?.change.patients, [MANY_PATIENTS]);
  });

  it('takes time in proportion to its size', () => {
    const time = (count: number): number => {
      const rows = [group('g', ids('a', count)), group('g', ids('b', count))] as const;
      const began = performance.now();
      changesOf(...rows, point, rules);
      return performance.now() - began;
    };
    time(10_000);
    const [small, large] = [time(10_000), time(160_000)];
    assert.ok(large < 100 * small, `16 times the members took ${(large / small).toFixed(1)} times as long`);
  });
});

describe('the id of a key', () => {
  it('is the id of the resource, and of anything else short, printable and its own', () => {
    assert.equal(keyId('pat-1.a'), 'pat-1.a');
    assert.equal(keyId('pat_under'), 'pat_under');
    const odd = ['a b', 'a\tb', 'a\0b', 'é', '\ud800', 'x'.repeat(1_000_000), `${'x'.repeat(1_000_000)}y`];
    for (const id of odd) assert.match(keyId(id), /^[\x21-\x7e]{1,64}$/);
    assert.equal(new Set(odd.map(keyId)).size, odd.length);
  });
});
