import assert from 'node:assert/strict';
import type { Relation } from '../../src/capture/pgoutput.ts';
import { gapOf, mappedColumns, presetMapping } from '../../src/capture/source-mapping.ts';

describe('the description of a table in the stream', () => {
  const [mapping] = presetMapping('headwater', 'public.resource');
  assert.ok(mapping);
  const columns = mappedColumns(mapping).map(([, column]) => column);
  const gap = (changed: Partial<Relation>): string | undefined =>
    gapOf({ oid: 1, schema: 'public', table: 'resource', fullIdentity: true, columns, ...changed }, mapping);

  it('is all, with whole old rows and every mapped column, whatever else it has', () => {
    assert.equal(gap({}), undefined);
    assert.equal(gap({ columns: ['more', ...columns] }), undefined);
  });

  it('is not all without whole old rows', () => {
    assert.match(gap({ fullIdentity: false }) ?? '', /public\.resource.*without REPLICA IDENTITY FULL/);
  });

  it('is not all while a column had another name, also when it has its own again', () => {
    const renamed = columns.map((column) => (column === mapping.body ? 'other' : column));
    assert.match(gap({ columns: renamed }) ?? '', new RegExp(`had no column ${mapping.body}`));
  });
});
