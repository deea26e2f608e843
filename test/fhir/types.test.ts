import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { elementsOf } from '../../src/fhir/types.ts';

/** An element as npm's `fhir` has it, from another reading of R4's definitions. */
interface Property {
  readonly _name: string;
  readonly _type: string;
  /** `deceased` of deceasedBoolean. */
  readonly _choice?: string;
  readonly _properties?: readonly Property[];
}

const definitions = createRequire(import.meta.url)('fhir/profiles/types.json') as Readonly<
  Record<string, { readonly _properties?: readonly Property[] }>
>;

/** Why our table lacks an element of the other reading, or has another type; empty for none. */
function differences(path: string, properties: readonly Property[]): string[] {
  const elements = elementsOf(path);
  return properties.flatMap((property) => {
    const { _name: name, _properties: parts = [] } = property;
    const choice = property._choice?.replace('[x]', '');
    const type = property._type.replace(/^#/, ''); // the same as another element
    if (choice !== undefined) {
      const element = elements.get(choice);
      const has = element?.of === 'choice' && (element.types === 'any' || element.types.has(type));
      return has ? [] : [`${path}.${choice} is no choice with ${type}`];
    }
    if (name.startsWith('_') || /^[a-z]/.test(type)) return [];
    const element = elements.get(name);
    if (type === 'Resource') return element?.of === 'resource' ? [] : [`${path}.${name} is no resource`];
    if (element?.of !== 'type') return [`${path}.${name} is no ${type}`];
    if (type === 'BackboneElement' || type === 'Element')
      return element.type === `${path}.${name}` ? differences(element.type, parts) : [];
    return element.type === type ? [] : [`${path}.${name} is ${element.type}, not ${type}`];
  });
}

describe('the elements of a type', () => {
  it('are those of another reading of the definitions, for every type', () => {
    const found = Object.entries(definitions).flatMap(([type, { _properties: properties = [] }]) =>
      /^([a-z].*|(Domain|Metadata)?Resource)$/.test(type) ? [] : differences(type, properties),
    );
    assert.deepEqual(found, []);
  });

  it('are empty for a primitive type and for an unknown one', () => {
    assert.equal(elementsOf('string').size, 0);
    assert.equal(elementsOf('Unknown').size, 0);
  });

  it('of an age are those of a quantity', () => assert.deepEqual(elementsOf('Age'), elementsOf('Quantity')));
});
