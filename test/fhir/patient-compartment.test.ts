import assert from 'node:assert/strict';
import { isCompartmentType, patientsOf } from '../../src/fhir/patient-compartment.ts';
import { sampleLines } from '../support/sample.ts';

describe('the patient compartment', () => {
  it('holds the patient, by its own id', () => {
    assert.deepEqual(patientsOf('Patient', 'p', {}), ['p']);
    assert.deepEqual(patientsOf('Patient', 'p', { link: [{ other: { reference: 'Patient/q' } }] }), [
      'p',
      'q',
    ]);
  });

  it('goes by every path, through lists, without repeats', () => {
    const appointment = {
      participant: [
        { actor: { reference: 'Patient/a' } },
        { actor: { reference: 'Patient/b/_history/2' } },
        { actor: { reference: 'Patient/a' } },
      ],
    };
    assert.deepEqual(patientsOf('Appointment', 'x', appointment), ['a', 'b']);
  });

  it('does not take what only looks like a patient of this server', () => {
    for (const reference of [
      'http://other.example/Patient/a',
      'Practitioner/a',
      'Patient/',
      'Patient/a/b',
      '#a',
      'urn:uuid:a',
      7,
    ]) {
      assert.deepEqual(patientsOf('Observation', 'x', { subject: { reference } }), []);
    }
    assert.deepEqual(patientsOf('Observation', 'x', null), []);
    assert.deepEqual(patientsOf('Location', 'x', { subject: { reference: 'Patient/a' } }), []);
    assert.ok(!isCompartmentType('Location'));
  });

  it('of real patients: every resource of a compartment type that refers to a patient is in that one', () => {
    let checked = 0;
    for (const [type, lines] of sampleLines()) {
      for (const line of lines) {
        const resource = JSON.parse(line) as { id: string };
        const mentioned = new Set([...line.matchAll(/"reference":"Patient\/([^"]+)"/g)].map(([, id]) => id));
        if (type === 'Patient') mentioned.add(resource.id);
        const found = patientsOf(type, resource.id, resource);
        assert.deepEqual(
          new Set(found),
          isCompartmentType(type) ? mentioned : new Set(),
          `${type}/${resource.id}`,
        );
        checked += found.length;
      }
    }
    assert.ok(checked > 4_000);
  });
});
