import assert from 'node:assert/strict';
import { toFhir } from '../../../src/capture/presets/aidbox/convert.ts';
import { numbersAsText } from '../../../src/fhir/number-text.ts';
import { RESOURCE_TYPES } from '../../../src/fhir/resource-types.ts';
import { DEFINED_TYPES, DefinedResources } from '../../servers/aidbox/defined-resources.ts';

/** JSON with the digits of numbers that are marked as such. */
function jsonOf(value: unknown): string {
  return JSON.stringify(value).replaceAll(/"\\u0000([^"]*)"/g, '$1');
}

describe('a resource with every element of its type', () => {
  it('is one of each type of R4', () => assert.deepEqual(DEFINED_TYPES.sort(), [...RESOURCE_TYPES].sort()));

  it("in Aidbox's form becomes FHIR, with every type of each element, digits included", function () {
    this.timeout(60_000);
    const resources = new DefinedResources();
    for (const type of DEFINED_TYPES) {
      for (let n = DefinedResources.variants(type); n > 0; n--) {
        const { fhir, aidbox } = resources.resource(type);
        const back = toFhir(Buffer.from(jsonOf(aidbox)), type, 'aidbox').toString();
        assert.deepEqual(numbersAsText(back), fhir, type);
      }
    }
    assert.ok(resources.choices.size > 750, `${resources.choices.size} were tried`);
  });
});
