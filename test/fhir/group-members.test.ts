import assert from 'node:assert/strict';
import fc from 'fast-check';
import { groupMembersOf, noMembers } from '../../src/fhir/group-members.ts';
import { References } from '../../src/fhir/reference.ts';

const NOW = Date.parse('2026-03-04T12:00:00.500Z');
const member = (reference: string, more: object = {}): object => ({ entity: { reference }, ...more });
const membersOf = (...members: readonly unknown[]) =>
  groupMembersOf({ resourceType: 'Group', member: members }, NOW);

describe('the members of a Group', () => {
  it('are its patients and its groups, each once, and nothing else', () => {
    const { patients, groups, noneBecause, unknown, logical } = membersOf(
      member('Patient/a'),
      member('Patient/b/_history/7'),
      member('Patient/a'),
      member('Group/g'),
      member('Practitioner/p'),
      member('Device/d'),
      member('http://elsewhere.example/fhir/Patient/x'),
      member('Patient/'),
      member('patient/x'),
      member('Patient/x/y'),
      member('#x'),
      { entity: { identifier: { value: 'x' } } },
      { entity: 'Patient/x' },
      null,
      'Patient/x',
    );
    assert.deepEqual(
      { patients, groups, noneBecause, unknown, logical },
      { patients: ['a', 'b'], groups: ['g'], noneBecause: undefined, unknown: 9, logical: 1 },
    );
  });

  it('are also named by an absolute reference below the base URL of the server', () => {
    const base = 'https://fhir.example.org/r4';
    const group = { member: [member(`${base}/Patient/a`), member('http://other.example/Patient/b')] };
    const { patients, unknown } = groupMembersOf(group, NOW, new References([base]));
    assert.deepEqual({ patients, unknown }, { patients: ['a'], unknown: 1 });
  });

  it('are those only who are not marked inactive, by whatever is not plainly false', () => {
    const marks = [true, 'false', 'true', 0, null];
    const { patients } = membersOf(
      member('Patient/in', { inactive: false }),
      ...marks.map((inactive, i) => member(`Patient/out${i}`, { inactive })),
    );
    assert.deepEqual(patients, ['in']);
  });

  it('are in from the beginning of their period to its end, both included as precisely as they are written', () => {
    const within: readonly object[] = [
      {},
      { start: '2026-03-04T12:00:00.500Z' },
      { start: '2026-03-04' },
      { start: '2026' },
      { start: '0001-01-01' },
      { end: '2026-03-04T12:00:00.500Z' },
      { end: '2026-03-04T12:00:00Z' },
      { end: '2026-03-04' },
      { end: '2026-03' },
      { end: '9999-12-31' },
      { start: '2026-03-04T13:00:00+01:00', end: '2026-03-04T13:00:01+01:00' },
    ];
    const without: readonly unknown[] = [
      { start: '2026-03-04T12:00:00.501Z' },
      { start: '2026-03-05' },
      { start: '2027' },
      { end: '2026-03-04T12:00:00.499Z' },
      { end: '2026-03-04T11:59:59Z' },
      { end: '2026-03-03' },
      { end: '2025' },
      { end: '0099' },
      { start: 'soon' },
      { end: '' },
      { end: null },
      { start: 2026 },
      null,
      '2026',
      [{}],
    ];
    for (const period of within)
      assert.deepEqual(membersOf(member('Patient/a', { period })).patients, ['a'], JSON.stringify(period));
    for (const period of without)
      assert.deepEqual(membersOf(member('Patient/a', { period })).patients, [], JSON.stringify(period));
  });

  it('are none when the group is not active, or it cannot be told', () => {
    const member = [{ entity: { reference: 'Patient/a' } }];
    for (const active of [false, 'false', null, 0])
      assert.deepEqual(groupMembersOf({ active, member }, NOW), noMembers('it is not active'));
    assert.deepEqual(groupMembersOf({ active: true, member }, NOW).patients, ['a']);
  });

  it('are never everybody: whatever a Group may be, each is one that it names', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json().map((text): unknown => JSON.parse(text)),
          groupLike(),
        ),
        (group) => {
          const { patients, groups, noneBecause } = groupMembersOf(group, NOW);
          const text = JSON.stringify(group);
          for (const id of patients) assert(text.includes(`Patient/${id}`));
          for (const id of groups) assert(text.includes(`Group/${id}`));
          assert.equal(noneBecause !== undefined, patients.length + groups.length === 0);
        },
      ),
    );
  });
});

function groupLike(): fc.Arbitrary<unknown> {
  const anything = fc.anything({ maxDepth: 1, withBigInt: false });
  const reference = fc.constantFrom('Patient/a', 'Group/b', 'Device/c', 'Patient/');
  const entry = fc.record(
    { entity: fc.oneof(anything, fc.record({ reference })), inactive: anything, period: anything },
    { requiredKeys: [] },
  );
  return fc
    .record(
      { active: anything, member: fc.oneof(anything, fc.array(fc.oneof(anything, entry))) },
      { requiredKeys: [] },
    )
    .map((group): unknown => JSON.parse(JSON.stringify(group)));
}
