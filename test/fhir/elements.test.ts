import assert from 'node:assert/strict';
import { compileElements, parseElements } from '../../src/fhir/elements.ts';
import { sampleLines } from '../support/sample.ts';

const TAG = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' };

describe('_elements', () => {
  const observation = {
    resourceType: 'Observation',
    id: 'o',
    meta: { versionId: '1', tag: [{ code: 'mine' }] },
    text: { status: 'empty' },
    status: 'final',
    _status: { id: 's' },
    code: { text: 'c' },
    subject: { reference: 'Patient/p' },
    valueQuantity: { value: 1 },
    _valueString: { id: 'v' },
    valuesOfMine: 1,
    component: [],
  };

  it('keeps what is asked for, id, meta and what is mandatory', () => {
    const cut = compileElements(['Observation.subject']);
    assert.deepEqual(cut('Observation', observation), {
      resourceType: 'Observation',
      id: 'o',
      meta: { versionId: '1', tag: [{ code: 'mine' }, TAG] },
      status: 'final',
      _status: { id: 's' },
      code: { text: 'c' },
      subject: { reference: 'Patient/p' },
    });
  });

  it('keeps an element with a choice of type under each of its names', () => {
    for (const name of ['value', 'value[x]']) {
      const kept = Object.keys(compileElements([name])('Observation', observation));
      assert.deepEqual(kept, [
        'resourceType',
        'id',
        'meta',
        'status',
        '_status',
        'code',
        'valueQuantity',
        '_valueString',
      ]);
    }
  });

  it('adds the tag once, and meta where there is none', () => {
    const cut = compileElements(['id']);
    const once = cut('Patient', { resourceType: 'Patient', id: 'p', gender: 'male' });
    assert.deepEqual(once, { resourceType: 'Patient', id: 'p', meta: { tag: [TAG] } });
    assert.deepEqual(cut('Patient', once), once);
  });

  it('leaves a type that is not addressed as it is, and its argument too', () => {
    const before = structuredClone(observation);
    assert.equal(compileElements(['Patient.id'])('Observation', observation), observation);
    compileElements(['status'])('Observation', observation);
    assert.deepEqual(observation, before);
  });

  it('takes lists and repeats together, by type and for all types', () => {
    const cut = compileElements(['Observation.subject,Patient.name', ' gender ', 'resourceType']);
    const patient = { resourceType: 'Patient', id: 'p', name: [{}], gender: 'male', birthDate: '1990' };
    assert.deepEqual(Object.keys(cut('Patient', patient)), ['resourceType', 'id', 'meta', 'name', 'gender']);
    assert.deepEqual(
      Object.keys(cut('Encounter', { resourceType: 'Encounter', id: 'e', type: [], class: {} })),
      ['resourceType', 'id', 'meta', 'class'],
    );
  });

  const REFUSED: [string, RegExp][] = [
    ['Foo.id', /no resource type "Foo"/],
    ['Patient.foo', /no root element "foo" in Patient/],
    ['Patient.value', /no root element "value" in Patient/],
    ['foo', /no root element "foo" in any resource type/],
    ['Observation.valueQuantity', /no root element "valueQuantity"/],
    ['Patient.name.family', /"Patient.name.family" is no root element/],
    ['', /"" is no root element/],
    ['id,', /"" is no root element/],
    ['Patient.', /"Patient\." is no root element/],
  ];
  for (const [value, message] of REFUSED) {
    it(`refuses ${value || 'nothing'} by name`, () => {
      assert.throws(() => parseElements([value]), { code: 'bad-request', subject: '_elements', message });
      assert.throws(() => compileElements([value]), { code: 'bad-request' });
    });
  }

  it('of real resources keeps nothing else', () => {
    const cut = compileElements(['status', 'code']);
    let kept = 0;
    for (const [type, lines] of sampleLines()) {
      for (const line of lines) {
        const resource = JSON.parse(line);
        const { meta, ...others } = cut(type, resource);
        assert.deepEqual((meta as { tag: unknown[] }).tag.at(-1), TAG);
        for (const [name, value] of Object.entries(others)) assert.deepEqual(value, resource[name]);
        assert.equal(others['status'], resource.status);
        assert.deepEqual(others['code'], resource.code);
        assert.equal(others['text'], undefined);
        kept += 1;
      }
    }
    assert.ok(kept > 4_000);
  });
});
