import assert from 'node:assert/strict';
import { lsn, stamp } from '../../../../src/base/positions.ts';
import { changesOf } from '../../../../src/capture/change.ts';
import { render } from '../../../../src/capture/presets/render.ts';
import type { SourceRow } from '../../../../src/capture/presets/source-row.ts';
import { recordingsOf } from './fixtures.ts';
import { replay } from './replay.ts';
import type { Replayed } from './replay.ts';

type Setting = Parameters<typeof recordingsOf>[0];

interface Kept {
  readonly setting: Setting;
  readonly hasTags: boolean;
  readonly versionsHaveTags?: boolean;
}

const SETTINGS: readonly Kept[] = [
  { setting: 'versioned', hasTags: true },
  { setting: 'non-versioned', hasTags: true, versionsHaveTags: false },
  { setting: 'history-off', hasTags: true },
  { setting: 'inline', hasTags: false },
];

const WAYS: readonly [how: string, options: { parts?: boolean; late?: boolean }][] = [
  ['', {}],
  [', in parts', { parts: true }],
  [', if queries do not see its transaction yet', { late: true }],
];

/** The changes of each recorded operation, with the version and the patients of each. */
const CHANGES: Readonly<Record<string, readonly string[]>> = {
  create: ['create Patient/abc 1 of abc'],
  update: ['update Patient/abc 2 of abc'],
  'update without a change': [],
  delete: ['delete Patient/abc 2 of abc'],
  undelete: ['create Patient/abc 4 of abc'],
  'create with an ID of the server': ['create Organization/1001 1 of none'],
  'create with an extension in meta': ['create Patient/extended 1 of extended'],
  'create of a large resource': ['create Patient/large 1 of large'],
  'add of a tag to a large resource': ['update Patient/large 1 of large'],
  'create of an observation': ['create Observation/weight 1 of abc'],
  'move of an observation to another patient': ['update Observation/weight 2 of large, left abc'],
  'delete and update in one bundle': ['delete Patient/abc 4 of abc', 'create Patient/abc 6 of abc'],
  'bundle with references': [
    'delete Observation/weight 2 of large',
    'create Patient/1005 1 of 1005',
    'create Observation/height 1 of 1005',
  ],
  patch: ['update Patient/abc 7 of abc'],
  '$meta-add': ['update Patient/abc 7 of abc'],
  '$meta-delete': ['update Patient/abc 7 of abc'],
  $reindex: [],
  'rewrite of an old version': [],
  'rewrite of the current version': ['update Patient/abc 7 of abc'],
  '$expunge of versions': [],
  'delete before $expunge': ['delete Patient/extended 1 of extended'],
  '$expunge of a deleted resource': [],
  'create before a delete with _expunge': ['create Patient/gone 1 of gone'],
  'delete with _expunge': ['delete Patient/gone 1 of gone'],
  // Their tags and versions go in earlier transactions, so their patients are unknown.
  '$expunge of everything': [
    'update Patient/abc 7 of abc',
    'update Patient/large 1 of large',
    'delete Organization/1001 1 of *',
    'delete Patient/large 1 of *',
    'delete Patient/1005 1 of *',
    'delete Observation/height 1 of *',
    'delete Patient/abc 7 of *',
  ],
};

describe('a fold of the rows of HAPI', () => {
  for (const { setting, ...tags } of SETTINGS)
    for (const [how, options] of WAYS)
      it(`gives what HAPI answers after each operation, ${setting}${how}`, async () => {
        const live = new Map<string, Buffer>();
        for (const { recording, changes } of await replay(recordingsOf(setting), { ...tags, ...options })) {
          for (const { old, row } of changes) {
            if (old) live.delete(keyOf(old));
            if (row && !row.deleted && row.body)
              live.set(keyOf(row), render(row, row.body, { kind: 'hapi' }));
          }
          for (const [key, { status, body }] of Object.entries(recording.answers)) {
            const resource = live.get(key)?.toString();
            const expected = status === 200 ? (JSON.parse(body) as unknown) : undefined;
            assert.deepEqual(
              resource === undefined ? undefined : JSON.parse(resource),
              expected,
              recording.name,
            );
          }
        }
      });

  it('makes of each operation the changes that it means', async () => {
    const replayed = await replay(recordingsOf('versioned'), { hasTags: true });
    assert.deepEqual(Object.fromEntries(replayed.map((one) => [one.recording.name, linesOf(one)])), CHANGES);
  });

  it('makes one change of each update where HAPI keeps no history', async () => {
    const replayed = await replay(recordingsOf('history-off'), { hasTags: true });
    assert.deepEqual(replayed.map(linesOf), [
      ['create Patient/abc 1 of abc'],
      ['update Patient/abc 2 of abc'],
      [],
      ['delete Patient/abc 2 of abc'],
      ['create Patient/abc 4 of abc'],
    ]);
  });

  it('asks the source nothing about creates', async () => {
    const creates = (await replay(recordingsOf('versioned'), { hasTags: true })).filter(({ recording }) =>
      /^create|^undelete/.test(recording.name),
    );
    assert.equal(creates.length, 7);
    assert.deepEqual(
      creates.flatMap(({ asked }) => asked),
      [],
    );
  });

  it('asks the source at most once for each kind of rows in a transaction', async () => {
    for (const { recording, asked } of await replay(recordingsOf('versioned'), { hasTags: true }))
      if (recording.transactions.length === 1)
        assert.equal(new Set(asked).size, asked.length, recording.name);
  });
});

/** The changes as `update Observation/weight 2 of Patient/large, left Patient/abc`. */
function linesOf({ changes }: Replayed): string[] {
  const rules = { maxBytes: 1 << 20, rendering: { kind: 'hapi' } } as const;
  const point = { stamp: stamp(1n), lsn: lsn(1n) };
  return changes
    .flatMap(({ old, row }) => changesOf(old, row, point, rules))
    .map(({ type, id, change }) => {
      const { operation, versionId, patients, leftPatients } = change;
      const left = leftPatients.length > 0 ? `, left ${leftPatients.join(' ')}` : '';
      return `${operation} ${type}/${id} ${versionId ?? ''} of ${patients.join(' ') || 'none'}${left}`;
    });
}

function keyOf({ type, id }: SourceRow): string {
  return `${type}/${id}`;
}
