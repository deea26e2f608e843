import assert from 'node:assert/strict';
import { lsn, stamp } from '../../src/base/positions.ts';
import { changesOf, loadedChange } from '../../src/capture/change.ts';
import type { KeyedChange } from '../../src/capture/change.ts';
import type { SourceRow } from '../../src/capture/presets/source-row.ts';

const point = { stamp: stamp(7), lsn: lsn(9n) };
const limits = { maxBytes: 1_000 };

function row(changes: Partial<SourceRow> & { subject?: string } = {}): SourceRow {
  const { subject = 'p1', ...fields } = changes;
  const body = Buffer.from(
    `{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/${subject}"}}`,
  );
  return { type: 'Observation', id: 'o', version: '1', lastUpdated: null, body, deleted: false, ...fields };
}
const told = (changes: readonly KeyedChange[]) =>
  changes.map(({ id, change }) => ({
    id,
    operation: change.operation,
    patients: change.patients,
    left: change.leftPatients,
  }));

describe('what a row means', () => {
  it('an insert creates', () => {
    assert.deepEqual(told(changesOf(undefined, row(), point, limits)), [
      { id: 'o', operation: 'create', patients: ['p1'], left: [] },
    ]);
  });

  it('an update updates, and tells which compartment was left', () => {
    assert.deepEqual(told(changesOf(row(), row({ subject: 'p2' }), point, limits)), [
      { id: 'o', operation: 'update', patients: ['p2'], left: ['p1'] },
    ]);
  });

  it('an update that did not send a large body keeps the old one', () => {
    const [only] = changesOf(row(), row({ body: undefined, version: '2' }), point, limits);
    assert.deepEqual(only?.change.body, row().body);
    assert.equal(only?.change.versionId, '2');
    assert.equal(only?.problem, undefined);
  });

  it('a delete tells the compartments of what was deleted', () => {
    assert.deepEqual(told(changesOf(row(), undefined, point, limits)), [
      { id: 'o', operation: 'delete', patients: ['p1'], left: [] },
    ]);
  });

  it('an update that shows nowhere means nothing', () => {
    assert.deepEqual(changesOf(row(), row(), point, limits), []);
    assert.deepEqual(changesOf(row(), row({ body: undefined }), point, limits), []);
    assert.equal(changesOf(row(), row({ version: '2' }), point, limits).length, 1);
    assert.equal(changesOf(row(), row({ lastUpdated: 5 }), point, limits).length, 1);
    const rendering = { kind: 'meta from columns' } as const;
    const stored = (versionId: string): SourceRow =>
      row({
        body: Buffer.from(`{"resourceType":"Observation","id":"o","meta":{"versionId":"${versionId}"}}`),
      });
    assert.deepEqual(changesOf(stored('a'), stored('b'), point, { ...limits, rendering }), []);
    assert.equal(changesOf(stored('a'), stored('b'), point, limits).length, 1);
  });

  it('an update by microseconds shows where meta comes from columns, and only there', () => {
    const at = (updated: string): SourceRow =>
      row({ updated: `2026-11-27 01:02:03.${updated}+00`, lastUpdated: 5 });
    const rendering = { kind: 'meta from columns' } as const;
    assert.equal(changesOf(at('456001'), at('456002'), point, { ...limits, rendering }).length, 1);
    assert.deepEqual(changesOf(at('456001'), at('456002'), point, limits), []);
  });

  it('a mark of deletion deletes, its removal creates, and a row under it means nothing', () => {
    const operations = (old: SourceRow | undefined, now: SourceRow | undefined) =>
      changesOf(old, now, point, limits).map(({ change }) => change.operation);
    assert.deepEqual(operations(row(), row({ deleted: true })), ['delete']);
    assert.deepEqual(operations(row({ deleted: true }), row()), ['create']);
    assert.deepEqual(operations(row({ deleted: true }), row({ deleted: true })), []);
    assert.deepEqual(operations(undefined, row({ deleted: true })), []);
    assert.deepEqual(operations(row({ deleted: true }), undefined), []);
  });

  it('the removal of a mark of deletion that did not send a large body keeps the one under the mark', () => {
    const [only] = changesOf(row({ deleted: true }), row({ body: undefined }), point, limits);
    assert.equal(only?.change.operation, 'create');
    assert.deepEqual(only.change.body, row().body);
    assert.deepEqual(only.change.patients, ['p1']);
    assert.equal(only.problem, undefined);
  });

  it('another key is a delete of the old and a create of the new, whose body has to name the new one', () => {
    const changes = changesOf(row(), row({ id: 'n', body: undefined }), point, limits);
    assert.deepEqual(
      changes.map(({ id, change }) => [id, change.operation]),
      [
        ['o', 'delete'],
        ['n', 'create'],
      ],
    );
    assert.match(changes[1]?.problem ?? '', /the id in its body/);
  });

  it('a body over the limit is left out and its size kept', () => {
    const { change, problem } = loadedChange('snapshot', row(), point, { maxBytes: 10 });
    assert.equal(change.body, null);
    assert.equal(change.oversizeBytes, row().body?.length);
    assert.deepEqual(change.patients, ['p1']);
    assert.match(problem ?? '', /HEADWATER_MAX_RESOURCE_BYTES/);
  });

  it('a body that is not a JSON object is left out, and no message quotes it', () => {
    for (const body of ['', '{"secret": nope}', '[]', '"text"', 'null']) {
      const { change, problem } = loadedChange('snapshot', row({ body: Buffer.from(body) }), point, limits);
      assert.equal(change.body, null);
      assert.ok(problem);
      assert.doesNotMatch(problem, /secret|nope/);
    }
    assert.ok(loadedChange('snapshot', row({ body: null }), point, limits).problem);
  });

  it('a body of several lines becomes one, of the same meaning and length', () => {
    const body = Buffer.from('{\r\n  "resourceType": "Observation",\n  "id": "o", "note": "a\\nb"\n}');
    const { change } = loadedChange('snapshot', row({ body }), point, limits);
    const text = Buffer.from(change.body ?? []).toString();
    assert.doesNotMatch(text, /[\r\n]/);
    assert.equal(text.length, body.length);
    assert.deepEqual(JSON.parse(text), JSON.parse(body.toString()));
  });
});
