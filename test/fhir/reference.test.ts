import assert from 'node:assert/strict';
import { References } from '../../src/fhir/reference.ts';

const references = new References(['https://fhir.example.org/r4/', 'http://10.0.0.7:8080/fhir']);
const UUID = '36b04a95-4c30-db64-3e7a-1215ebdb5c33';

describe('a reference', () => {
  it('names a resource of this server when it is relative, with or without a version', () => {
    assert.deepEqual(references.parse('Patient/a'), { type: 'Patient', id: 'a' });
    assert.deepEqual(references.parse('Patient/a/_history/7'), { type: 'Patient', id: 'a' });
  });

  it('names a resource of this server when it is below one of its base URLs', () => {
    for (const reference of [
      'https://fhir.example.org/r4/Patient/a',
      'https://fhir.example.org/r4/Patient/a/_history/7',
      'HTTPS://FHIR.example.org/r4/Patient/a',
      'https://fhir.example.org:443/r4/Patient/a',
      'http://10.0.0.7:8080/fhir/Patient/a',
      'https://fhir.example.org/r4/Patient?_id=a',
      'Patient?_id=a',
    ])
      assert.deepEqual(references.parse(reference), { type: 'Patient', id: 'a' }, reference);
  });

  it('names nothing of this server when it is anything else', () => {
    for (const reference of [
      'https://fhir.example.org/r4',
      'https://fhir.example.org/r4/',
      'https://fhir.example.org/r40/Patient/a',
      'https://fhir.example.org/R4/Patient/a',
      'https://fhir.example.org.evil.example/r4/Patient/a',
      'http://fhir.example.org/r4/Patient/a',
      'http://10.0.0.7/fhir/Patient/a',
      'https://fhir.example.org/r4/Patient/a/b',
      'https://fhir.example.org/r4/Patient?name=a',
      'Patient?_id=a,b',
      'Patient/',
      'patient/a',
      '/Patient/a',
      '#a',
      `urn:uuid:${UUID}`,
      'urn:oid:1.2.3',
      '',
      7,
      null,
      undefined,
    ])
      assert.equal(references.parse(reference), undefined, String(reference));
  });

  it('by UUID names the resource of that id when its type is said', () => {
    const reference = `urn:uuid:${UUID.toUpperCase()}`;
    assert.deepEqual(references.of({ reference, type: 'Patient' }), { type: 'Patient', id: UUID });
    assert.equal(references.of({ reference }), undefined);
  });

  it('is logical when it names a resource by an identifier or by a search', () => {
    const logical = [
      { identifier: { system: 'urn:npi', value: '1' } },
      { reference: 'Practitioner?identifier=http://npi.example|1' },
      { reference: 'https://fhir.example.org/r4/Practitioner?identifier=1' },
    ];
    for (const element of logical) {
      assert.ok(references.isLogical(element), JSON.stringify(element));
      assert.equal(references.of(element), undefined);
    }
    const others = [
      { reference: 'Patient/a', identifier: { value: '1' } },
      { reference: 'Patient?_id=a' },
      { reference: 'http://other.example/Practitioner?identifier=1' },
      { display: 'x' },
      'Patient?identifier=1',
      null,
    ];
    for (const element of others) assert.ok(!references.isLogical(element), JSON.stringify(element));
  });
});
