import assert from 'node:assert/strict';
import type { Relation } from '../../src/capture/pgoutput.ts';
import { presetOf } from '../../src/capture/presets/presets.ts';
import { gapOf } from '../../src/capture/transaction-receiver.ts';

describe('the description of a table in the stream', () => {
  const [table] = presetOf({}).tables([]);
  assert.ok(table);
  const columns = table.columns.map(({ name }) => name);
  const gap = (changed: Partial<Relation>): string | undefined =>
    gapOf({ oid: 1, schema: 'public', table: 'resource', fullIdentity: true, columns, ...changed }, table);

  it('is all, with whole old rows and every mapped column, whatever else it has', () => {
    assert.equal(gap({}), undefined);
    assert.equal(gap({ columns: ['more', ...columns] }), undefined);
  });

  it('is not all without whole old rows', () => {
    assert.match(gap({ fullIdentity: false }) ?? '', /public\.resource.*without REPLICA IDENTITY FULL/);
  });

  it('is not all while a column had another name, also when it has its own again', () => {
    const renamed = columns.map((column) => (column === 'body' ? 'other' : column));
    assert.match(gap({ columns: renamed }) ?? '', /had no column body/);
  });
});
