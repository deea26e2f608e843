import assert from 'node:assert/strict';
import fc from 'fast-check';
import { asciiJson, withMeta } from '../../../src/capture/presets/meta.ts';
import type { MetaMembers } from '../../../src/capture/presets/meta.ts';

const SET: MetaMembers = [
  ['versionId', '"7"'],
  ['lastUpdated', '"2026-11-27T01:02:03.004Z"'],
];
const set = (body: string, how?: Parameters<typeof withMeta>[2]): string =>
  withMeta(Buffer.from(body), SET, how).toString();
const MEMBERS = SET.map(([name, json]) => `"${name}":${json}`).join(',');

describe('members of meta that columns tell', () => {
  it('take the place of those in the body, before the others', () => {
    assert.equal(
      set('{"resourceType":"Patient","meta":{"versionId":"1","profile":["p"], "lastUpdated":"x"},"id":"a"}'),
      `{"resourceType":"Patient","meta":{${MEMBERS},"profile":["p"]},"id":"a"}`,
    );
  });

  it('make a meta after the id, the type, or at the beginning', () => {
    assert.equal(set('{"id":"a", "n":1.50}'), `{"id":"a","meta":{${MEMBERS}}, "n":1.50}`);
    assert.equal(set('{"resourceType":"X"}'), `{"resourceType":"X","meta":{${MEMBERS}}}`);
    assert.equal(set('{"n":1}'), `{"meta":{${MEMBERS}},"n":1}`);
    assert.equal(set('{}'), `{"meta":{${MEMBERS}}}`);
  });

  it('stand beside members that are dropped, and members of the resource that are set', () => {
    const how = { dropped: ['author'], root: [['id', '"b"']] } as const;
    assert.equal(
      set('{"resourceType":"X","id":"a","meta":{"author":{"a":[1]}},"n":1}', how),
      `{"resourceType":"X","id":"b","meta":{${MEMBERS}},"n":1}`,
    );
    assert.equal(
      set('{"resourceType":"X","n":1}', how),
      `{"resourceType":"X","id":"b","meta":{${MEMBERS}},"n":1}`,
    );
  });

  it('leave the value of everything else as it was, whatever the body', () => {
    const json = fc.json().filter((text) => text.startsWith('{'));
    fc.assert(
      fc.property(json, (text) => {
        const before = JSON.parse(text) as { meta?: unknown };
        if (
          'meta' in before &&
          (typeof before.meta !== 'object' || before.meta === null || Array.isArray(before.meta))
        )
          return;
        const after = JSON.parse(set(text)) as { meta: Record<string, unknown> };
        const { versionId, lastUpdated, ...meta } = after.meta;
        assert.equal(versionId, '7');
        assert.equal(lastUpdated, '2026-11-27T01:02:03.004Z');
        const kept = { ...(before.meta as Record<string, unknown> | undefined) };
        delete kept['versionId'];
        delete kept['lastUpdated'];
        assert.deepEqual({ ...meta }, kept);
        assert.deepEqual({ ...after, meta: 0 }, { ...before, meta: 0 });
      }),
    );
  });

  it('keep the digits, escapes and white space of the others', () => {
    const rest = '"a" : 1.10,"b":[ 1e2, 12345678901234567890 ],"\\u0063":"\\u00e9é"';
    assert.equal(set(`{"id":"a",${rest}}`), `{"id":"a","meta":{${MEMBERS}},${rest}}`);
  });

  it('are written in ASCII', () => {
    assert.equal(asciiJson('é"😀'), '"\\u00e9\\"\\ud83d\\ude00"');
  });

  it('refuse a body that is no object, and a meta that is none', () => {
    assert.throws(() => set('[1]'), { code: 'corrupt' });
    assert.throws(() => set('{"meta":[]}'), { code: 'corrupt' });
  });
});
