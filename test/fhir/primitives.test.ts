import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { isR4Type, primitivesOf } from '../../src/fhir/primitives.ts';

/** Types of elements by paths, as fhirpath.js has them from another reading of R4's definitions. */
const paths = createRequire(import.meta.url)('fhirpath/fhir-context/r4/path2Type.json') as Readonly<
  Record<string, unknown>
>;

describe('primitivesOf', () => {
  it("gives each primitive element of the table the type of fhirpath.js's table", () => {
    let compared = 0;
    for (const [path, listed] of Object.entries(paths)) {
      const type = typeof listed === 'string' ? listed : '';
      const at = path.lastIndexOf('.');
      if (!/^[a-z]/.test(type) || at < 0 || /^(id|url)$/.test(path.slice(at + 1))) continue;
      const own = primitivesOf(path.slice(0, at)).get(path.slice(at + 1));
      if (own === undefined) continue;
      assert.equal(own, type, path);
      compared++;
    }
    assert.ok(compared > 1_000, String(compared));
  });

  it('knows the types of R4', () => {
    for (const type of ['HumanName', 'Patient', 'date', 'string', 'BackboneElement', 'base64Binary', 'uuid'])
      assert.ok(isR4Type(type), type);
    assert.ok(!isR4Type('Nam'));
    assert.deepEqual(primitivesOf('constructor'), new Map());
  });
});
