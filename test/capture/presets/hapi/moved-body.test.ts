import assert from 'node:assert/strict';
import type { Lookup } from '../../../../src/capture/presets/preset.ts';
import { presetOf } from '../../../../src/capture/presets/presets.ts';

/** hfj_resource, as the lookup of a resource asks for it. */
const RESOURCE: Readonly<Record<string, string | null>> = {
  res_id: '5',
  res_type: 'Patient',
  fhir_id: 'p',
  res_ver: '1',
};

const lookup: Lookup = (sql) => {
  const names = /^SELECT (.+?) FROM/.exec(sql)?.[1]?.split(', ') ?? [];
  return Promise.resolve(sql.includes('hfj_resource') ? [names.map((name) => RESOURCE[name] ?? null)] : []);
};

async function updated(old: string | null, now: string): Promise<number> {
  const preset = presetOf({ preset: 'hapi', hapiTags: 'inline' });
  const table = preset.tables([]).find((one) => one.table === 'hfj_res_ver');
  assert.ok(table);
  const columns = table.columns.map(({ name }) => name);
  const fold = preset.fold();
  fold.describe({ oid: 1, schema: 'public', table: 'hfj_res_ver', fullIdentity: true, columns }, table);
  const row = (body: string | null): (Buffer | null)[] =>
    columns.map((name) => {
      const value = { pid: '7', res_id: '5', res_ver: '1', res_text_vc: body }[name] ?? null;
      return value === null ? null : Buffer.from(value);
    });
  fold.add(1, row(old), row(now));
  return (await fold.complete(lookup, true)).length;
}

describe('a version of HAPI that is written again', () => {
  it('is no change when its body moves from a large object to a text', async () => {
    assert.equal(await updated(null, '{"resourceType":"Patient"}'), 0);
  });

  it('is a change when it had a text before', async () => {
    assert.equal(await updated('{"resourceType":"Patient"}', '{"resourceType":"Patient","active":true}'), 1);
  });
});
