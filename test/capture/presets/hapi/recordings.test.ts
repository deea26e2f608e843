import assert from 'node:assert/strict';
import { orderOf } from '../../../servers/hapi/recording.ts';
import type { Recording } from '../../../servers/hapi/recording.ts';
import { recordingsOf } from './fixtures.ts';

const CREATE = 'insert hfj_resource, insert hfj_res_ver, update hfj_res_ver';
/** What HAPI 8.8.0 writes with its own settings, in the order of the log. */
const ORDER: Readonly<Record<string, readonly string[]>> = {
  create: [
    'insert hfj_tag_def, insert hfj_resource, insert hfj_res_tag, insert hfj_res_ver, insert hfj_history_tag, update hfj_res_ver',
  ],
  update: [
    'insert hfj_tag_def, insert hfj_res_tag, insert hfj_res_ver, insert hfj_history_tag, update hfj_res_ver, update hfj_resource, delete hfj_res_tag',
  ],
  'update without a change': [],
  delete: ['insert hfj_res_ver, update hfj_res_ver, update hfj_resource'],
  undelete: ['insert hfj_res_ver, insert hfj_history_tag, update hfj_res_ver, update hfj_resource'],
  'create with an ID of the server': [CREATE],
  'delete and update in one bundle': [
    'insert hfj_res_ver, update hfj_resource, insert hfj_res_ver, insert hfj_history_tag, update hfj_res_ver, update hfj_resource',
  ],
  'bundle with references': [
    `insert hfj_res_ver, update hfj_resource, ${CREATE}, update hfj_resource`, // the delete comes first
  ],
  '$meta-add': [
    'insert hfj_tag_def, insert hfj_res_tag, insert hfj_tag_def, insert hfj_res_tag, insert hfj_history_tag',
  ],
  '$meta-delete': ['delete hfj_res_tag, delete hfj_history_tag'],
  $reindex: [],
  'rewrite of an old version': ['update hfj_res_ver'],
  'rewrite of the current version': [
    'insert hfj_tag_def, insert hfj_res_tag, update hfj_res_ver, update hfj_resource, delete hfj_res_tag',
  ],
  '$expunge of a deleted resource': [
    'delete hfj_history_tag, delete hfj_res_ver',
    'delete hfj_res_ver, delete hfj_res_tag, delete hfj_resource',
  ],
  'delete with _expunge': ['delete hfj_res_ver, delete hfj_resource'],
  '$expunge of everything': [
    'delete hfj_history_tag',
    'delete hfj_res_tag',
    'delete hfj_tag_def',
    'delete hfj_res_ver',
    'delete hfj_resource',
  ],
};

describe('a recording of HAPI', () => {
  const versioned = recordingsOf('versioned');
  const named = (name: string, recordings = versioned): Recording => {
    const found = recordings.find((recording) => recording.name === name);
    assert.ok(found, name);
    return found;
  };

  for (const [name, order] of Object.entries(ORDER))
    it(`has the rows of "${name}" in the order of the log`, () => {
      assert.deepEqual(orderOf(named(name)), order);
    });

  it('has versions whose source and request come by an update in the same transaction', () => {
    const written = (named('create').transactions[0] ?? []).filter(({ table }) => table === 'hfj_res_ver');
    assert.deepEqual(
      written.map(({ op, new: row }) => [op, row?.['source_uri']]),
      [
        ['insert', null],
        ['update', 'http://sources/one'],
      ],
    );
  });

  it('has every body with its resource type first', () => {
    const rows = versioned
      .flatMap(({ transactions }) => transactions.flat())
      .flatMap(({ table, new: row }) => (table === 'hfj_res_ver' && row?.['res_text_vc'] ? [row] : []));
    assert.ok(rows.length > 10);
    for (const row of rows)
      assert.ok(row['res_text_vc']?.startsWith(`{"resourceType":"${row['res_type'] ?? ''}"`));
  });

  it('has an update of the version row where HAPI keeps no history', () => {
    const [change] = (named('update', recordingsOf('history-off')).transactions[0] ?? []).filter(
      ({ table }) => table === 'hfj_res_ver',
    );
    assert.equal(change?.op, 'update');
    assert.deepEqual([change.old?.['res_ver'], change.new?.['res_ver']], ['1', '2']);
    assert.equal(change.old?.['pid'], change.new?.['pid']);
  });

  it('has no tags in tables where HAPI keeps them in the body', () => {
    const tables = recordingsOf('inline').flatMap(({ transactions }) =>
      transactions.flat().map(({ table }) => table),
    );
    assert.deepEqual([...new Set(tables)].sort(), ['hfj_res_ver', 'hfj_resource']);
  });

  it('has no versions of tags where HAPI keeps tags without versions', () => {
    const tables = recordingsOf('non-versioned').flatMap(({ transactions }) =>
      transactions.flat().map(({ table }) => table),
    );
    assert.deepEqual([...new Set(tables)].sort(), [
      'hfj_res_tag',
      'hfj_res_ver',
      'hfj_resource',
      'hfj_tag_def',
    ]);
  });
});
