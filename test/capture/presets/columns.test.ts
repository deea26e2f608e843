import assert from 'node:assert/strict';
import type { Relation, Tuple } from '../../../src/capture/pgoutput.ts';
import type { SourceRow } from '../../../src/capture/presets/source-row.ts';
import { presetOf } from '../../../src/capture/presets/presets.ts';
import { render } from '../../../src/capture/presets/render.ts';
import type { PresetSettings } from '../../../src/capture/presets/settings.ts';

const COLUMNS = 'type=kind,id=fhir_id,version=v,lastUpdated=at,body=doc,deleted=gone,tenant=t';
const NAMES = ['kind', 'fhir_id', 'v', 'at', 'doc', 'gone', 't', 'other'];
const relation: Relation = { oid: 7, schema: 's', table: 'r', fullIdentity: true, columns: NAMES };
const settings = (more: Partial<PresetSettings> = {}): Partial<PresetSettings> => ({
  preset: 'columns',
  table: 's.r',
  columns: COLUMNS,
  ...more,
});

function read(
  given: Partial<PresetSettings>,
  values: readonly (string | null | undefined)[],
): SourceRow | undefined {
  const preset = presetOf(given);
  const [table] = preset.tables([]);
  assert.ok(table);
  const fold = preset.fold();
  fold.describe(relation, table);
  const tuple: Tuple = values.map((value) => (typeof value === 'string' ? Buffer.from(value) : value));
  return fold.add(7, undefined, tuple)[0]?.row;
}

const VALUES = ['Patient', 'a', '3', '2026-11-27 01:02:03.456789+00', '{"id":"a"}', 'f', 'one', 'x'];

describe('preset columns', () => {
  it('reads the columns that HEADWATER_SOURCE_COLUMNS names', () => {
    const row = read(settings(), VALUES);
    assert.equal(row?.type, 'Patient');
    assert.equal(row.id, 'a');
    assert.equal(row.version, '3');
    assert.equal(row.lastUpdated, Date.UTC(2026, 10, 27, 1, 2, 3, 456));
    assert.equal(row.body?.toString(), '{"id":"a"}');
    assert.equal(row.deleted, false);
  });

  it('counts rows marked deleted, of another tenant and of other types as no resource', () => {
    const marked = VALUES.with(5, 't');
    assert.equal(read(settings(), marked)?.deleted, true);
    assert.equal(read(settings({ tenants: ['one'] }), VALUES)?.deleted, false);
    assert.equal(read(settings({ tenants: ['two'] }), VALUES)?.deleted, true);
    assert.equal(read(settings({ types: ['Observation'] }), VALUES)?.deleted, true);
    assert.equal(read(settings({ excludeTypes: ['Patient'] }), VALUES)?.deleted, true);
  });

  it('loads the same rows by one query', () => {
    const preset = presetOf(settings({ tenants: ["o'ne"] }));
    const [query] = preset.loads(preset.tables([]));
    assert.equal(
      query?.sql(query.from),
      `SELECT "kind"::text, "fhir_id"::text, "v"::text, "at"::text, "doc"::text FROM "s"."r" WHERE "gone" IS NOT TRUE AND "t"::text = 'o''ne'`,
    );
  });

  it('asks for the tenant when the table has a column for it and no setting names one', () => {
    const preset = presetOf(settings());
    const [preflight] = preset.preflights(preset.tables([]), []);
    assert.match(
      preflight?.problem([['one'], ['two']]) ?? '',
      /one, two; name one in HEADWATER_SOURCE_TENANT/,
    );
    assert.equal(preflight?.problem([['one']]), undefined);
    const chosen = presetOf(settings({ tenants: ['one'] }));
    const [asked] = chosen.preflights(chosen.tables([]), []);
    assert.match(asked?.problem([['two']]) ?? '', /holds no resource of one .*but of two/);
    assert.equal(asked?.problem([['one']]), undefined);
    assert.equal(asked?.problem([[null]]), undefined, 'an empty table is no mistake');
  });

  it('takes versionId and lastUpdated from columns, with every digit, where that is set', () => {
    const preset = presetOf(settings({ meta: 'columns' }));
    const row = read(settings({ meta: 'columns' }), VALUES);
    assert.ok(row?.body);
    assert.equal(
      render(row, row.body, preset.rendering).toString(),
      '{"id":"a","meta":{"versionId":"3","lastUpdated":"2026-11-27T01:02:03.456789Z"}}',
    );
    assert.equal(render(row, row.body, presetOf(settings()).rendering), row.body);
  });

  it('follows a table of one type', () => {
    const [table] = presetOf(settings({ columns: "type='Patient',id=i,body=b" })).tables([]);
    assert.deepEqual(table?.key, ['i']);
    assert.deepEqual(table?.holds, { type: 'Patient' });
  });

  it('refuses settings that say nothing useful, by name', () => {
    const refused = (given: Partial<PresetSettings>): RegExp | string => {
      try {
        presetOf(settings(given));
        return '';
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'bad-config');
        return (error as Error).message;
      }
    };
    assert.match(
      String(refused({ columns: 'id=a' })),
      /HEADWATER_SOURCE_COLUMNS: preset columns needs type=/,
    );
    assert.match(String(refused({ columns: 'id' })), /"id" is not name=column/);
    assert.match(String(refused({ columns: 'key=a' })), /key is unknown; the names are type, id/);
    assert.match(String(refused({ columns: 'id=a,id=b' })), /id is named twice/);
    assert.match(String(refused({ columns: 'type=t,id=i,body=b', tenants: ['x'] })), /no column tenant/);
    assert.match(String(refused({ types: ['Pat'] })), /HEADWATER_SOURCE_TYPES: Pat is no resource type/);
    assert.match(String(refused({ table: 'r' })), /is not schema\.table/);
  });

  it('tells other settings apart by its fingerprint, and headwater as it was has none', () => {
    const prints = [{}, { meta: 'columns' }, { types: ['Patient'] }, { tenants: ['a'] }] as const;
    const told = prints.map((given) => presetOf(settings(given)).fingerprint);
    assert.equal(new Set(told).size, told.length);
    assert.equal(presetOf({}).fingerprint, '');
    assert.notEqual(presetOf({ preset: 'hfs' }).fingerprint, presetOf({ preset: 'wso2' }).fingerprint);
  });
});
