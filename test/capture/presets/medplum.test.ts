import assert from 'node:assert/strict';
import fc from 'fast-check';
import { presetOf } from '../../../src/capture/presets/presets.ts';
import { render } from '../../../src/capture/presets/render.ts';
import type { Rendering } from '../../../src/capture/presets/rendering.ts';

const PLAIN: Rendering = { kind: 'medplum', extended: false };
const HIDDEN = ['author', 'project', 'account', 'accounts', 'compartment'];
const row = { type: 'Patient', id: 'p', version: null, lastUpdated: null, body: null, deleted: false };
const rendered = (body: string, rendering: Rendering = PLAIN): string =>
  render(row, Buffer.from(body), rendering).toString();

/** JSON that no renderer would write: spaces, escapes and digits of its own. */
const oddValue = fc.oneof(
  fc.json(),
  fc.constantFrom('1.10', '1e3', '"\\u00fc\\/"', '"größer 👍"', '{ "project" : 1 }', '[ ]'),
);
const oddName = fc.constantFrom('tag', 'versionId', 'lastUpdated', 'profile', 'proj\\u0065cts', 'Project');
const members = fc.array(fc.tuple(oddName, oddValue, fc.constantFrom('', ' ', '\n')), { maxLength: 6 });

describe('a body that Medplum stores', () => {
  it('loses the members of meta that its API hides, and no other byte', () => {
    fc.assert(
      fc.property(
        members,
        fc.shuffledSubarray(HIDDEN),
        fc.infiniteStream(fc.nat()),
        (kept, hidden, places) => {
          const all = kept.map(([name, json, space]) => `${space}"${name}"${space}:${space}${json}${space}`);
          const around = (meta: readonly string[]): string =>
            `{"resourceType":"Patient", "project":"root", "meta":{${meta.join(',')}} ,"n":1.50,"name":[{"author":{}}]}`;
          const stored = [...all];
          for (const name of hidden)
            stored.splice((places.next().value ?? 0) % (stored.length + 1), 0, `"${name}":{"reference":"x"}`);
          assert.equal(rendered(around(stored)), around(all));
        },
      ),
    );
  });

  it('stays as it is when HEADWATER_SOURCE_MEDPLUM_META is extended', () => {
    const { rendering } = presetOf({ preset: 'medplum', medplumMeta: 'extended' });
    const body = '{"resourceType":"Patient","meta":{"project":"p","author":{"reference":"x"}}, "n":1.0}';
    assert.equal(rendered(body, rendering), body);
  });

  it('without meta stays as it is', () => {
    assert.equal(rendered('{"resourceType":"Patient", "id":"p"}'), '{"resourceType":"Patient", "id":"p"}');
  });
});
