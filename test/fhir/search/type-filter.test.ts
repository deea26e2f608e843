import assert from 'node:assert/strict';
import fc from 'fast-check';
import { HeadwaterError } from '../../../src/base/errors.ts';
import { parseMembers } from '../../../src/fhir/json-scan.ts';
import { References } from '../../../src/fhir/reference.ts';
import { RESOURCE_TYPES } from '../../../src/fhir/resource-types.ts';
import { searchParametersOf } from '../../../src/fhir/search/search-parameters.ts';
import {
  compileTypeFilters,
  parseTypeFilter,
  splitTypeFilters,
} from '../../../src/fhir/search/type-filter.ts';
import { sampleLines } from '../../support/sample.ts';

describe('queries in a _typeFilter', () => {
  const SPLITS: [string, string[]][] = [
    ['Patient?name=a', ['Patient?name=a']],
    ['Patient?name=a,b', ['Patient?name=a,b']],
    ['Patient?name=a,Condition?code=b', ['Patient?name=a', 'Condition?code=b']],
    [
      'Patient?name=a,b,Condition?code=c,d, Patient?name=e',
      ['Patient?name=a,b', 'Condition?code=c,d', 'Patient?name=e'],
    ],
    ['Patient?name=a\\,Condition?code=b', ['Patient?name=a\\,Condition?code=b']],
    ['Patient?name=a\\\\,Condition?code=b', ['Patient?name=a\\\\', 'Condition?code=b']],
    ['Patient?name=a%2Cb,Condition?code=c', ['Patient?name=a%2Cb', 'Condition?code=c']],
    ['Observation?status=final,Patient', ['Observation?status=final,Patient']],
    ['Observation?code=a,Unknown?code=b', ['Observation?code=a,Unknown?code=b']],
    ['Observation%3Fcode%3Da%252Cb%2CPatient%3Fname%3Dc', ['Observation?code=a%2Cb', 'Patient?name=c']],
    ['', ['']],
  ];
  for (const [value, queries] of SPLITS) {
    it(`are ${JSON.stringify(queries)} in ${value || 'nothing'}`, () => {
      assert.deepEqual(splitTypeFilters(value), queries);
    });
  }

  it('are found again after having been joined, whatever values they have', () => {
    const value = fc.string({
      unit: fc.constantFrom('a', '\\,', '\\\\', ',', '%2C', '=', '|', '$', '.', ' b'),
    });
    const query = fc
      .record({ type: fc.constantFrom(...RESOURCE_TYPES), value })
      .map((q) => `${q.type}?code=x${q.value}y`);
    fc.assert(
      fc.property(fc.array(query, { minLength: 1, maxLength: 5 }), (queries) => {
        assert.deepEqual(splitTypeFilters(queries.join(',')), queries);
      }),
    );
  });
});

describe('a query of _typeFilter', () => {
  const REFUSED: [string, RegExp][] = [
    ['', /"" is no query/],
    ['Patient', /"Patient" is no query/],
    ['Foo?code=a', /no resource type "Foo"/],
    ['patient?name=a', /no resource type "patient"/],
    ['Patient?', /Patient\? has no search parameter/],
    ['Patient?&', /Patient\? has no search parameter/],
    ['Patient?name', /Patient\?name has no value/],
    ['Patient?name=', /Patient\?name has no value/],
    ['Patient?name=a,', /Patient\?name has an empty value/],
    ['Patient?foo=a', /no search parameter "foo" for Patient/],
    ['Patient?constructor=a', /no search parameter "constructor" for Patient/],
    ['Patient?code=a', /no search parameter "code" for Patient/],
    ['Observation?subject:Patient.name=a', /subject:Patient\.name is a chained search/],
    ['Observation?subject.name=a', /subject\.name is a chained search/],
    ['Patient?_has:Observation:subject:code=a', /_has is no search on a single resource/],
    ['Patient?_sort=name', /_sort is no search/],
    ['Patient?_include=Patient:organization', /_include is no search/],
    ['Patient?_revinclude=a', /_revinclude is no search/],
    ['Patient?_count=1', /_count is no search/],
    ['Patient?_elements=id', /_elements is no search/],
    ['Patient?_summary=true', /_summary is no search/],
    ['Patient?_total=none', /_total is no search/],
    ['Patient?_filter=a', /_filter is no search/],
    ['Patient?_query=a', /_query is no search/],
    ['Patient?_list=a', /_list is no search/],
    ['Patient?_text=a', /no search parameter "_text"|_text cannot be evaluated/],
    ['Patient?_content=a', /_content cannot be evaluated/],
    ['Patient?phonetic=a', /phonetic cannot be evaluated/],
    ['Location?near=1|2|3|km', /near cannot be evaluated/],
    ['Observation?code:in=http://v', /:in is not supported in Observation\?code:in/],
    ['Observation?code:not-in=http://v', /:not-in is not supported/],
    ['Observation?code:above=a', /:above is not supported/],
    ['Observation?code:below=a', /:below is not supported/],
    ['Observation?code:of-type=a|b|c', /:of-type is not supported/],
    ['Observation?status:text=final', /:text is not supported/],
    ['Patient?name:not=a', /:not is not supported/],
    ['Patient?birthdate:exact=2020', /:exact is not supported/],
    ['Patient?identifier:not:missing=true', /more than one modifier/],
    ['Observation?subject:Encounter=a', /:Encounter is not supported/],
    ['Observation?subject=Encounter/a', /cannot refer to Encounter/],
    ['Observation?subject:Patient=Group/a', /subject:Patient cannot be Group/],
    ['Observation?subject=a/b/c', /no reference for Observation\?subject/],
    ['Observation?subject=#a', /no reference/],
    ['Observation?date=yesterday', /"yesterday" is no value for the date Observation\?date/],
    ['Observation?date=2020-13', /"2020-13" is no value/],
    ['Observation?date=2021-02-29', /"2021-02-29" is no value/],
    ['Observation?date=xx2020', /"xx2020" is no value/],
    ['Observation?date=ge', /"ge" is no value/],
    ['Observation?value-quantity=much', /"much" is no number/],
    ['Observation?value-quantity=5|mg', /5\|mg|is no value/],
    ['Observation?value-quantity=5||', /is no value for Observation\?value-quantity/],
    ['Observation?value-quantity=5|a|b|c', /is no value for Observation\?value-quantity/],
    ['RiskAssessment?probability=1,5x', /"5x" is no number/],
    ['Observation?code=a|b|c', /"a\|b\|c" is no value for the token/],
    ['Observation?code=|', /is no value for the token/],
    ['Patient?active=yes', /"yes" is no value for Patient\?active; write true or false/],
    ['Patient?_id=http://x|a', /Patient\?_id is searched without a system/],
    ['Patient?name:missing=maybe', /missing is true or false, not "maybe"/],
    ['Observation?code-value-quantity=a', /needs 2 values/],
    ['Observation?code-value-quantity=a$b', /"b" is no number/],
    ['Observation?code=a,Unknown?code=b', /no resource type "Unknown"/],
    ['Patient?name=100%', /"100%" has a %/],
  ];
  for (const [query, message] of REFUSED) {
    it(`${query || '(empty)'} is refused by name`, () => {
      assert.throws(
        () => parseTypeFilter(query),
        (error: Error) => {
          assert.match(error.message, message);
          assert.match(error.message, /^_typeFilter: .*\.$/s); // a whole sentence
          assert.ok(error instanceof HeadwaterError);
          assert.deepEqual([error.code, error.subject], ['bad-request', '_typeFilter']);
          return true;
        },
      );
    });
  }

  it('of random text is compiled or refused, nothing else', () => {
    const parts = [
      'Patient',
      'Observation',
      '?',
      '&',
      '=',
      ':',
      '.',
      ',',
      '|',
      '$',
      '\\',
      '%',
      '%2C',
      'code',
      'name',
      'date',
      'ge',
      '2020',
      '-',
      '_id',
      'missing',
      'subject',
      '9',
    ];
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(fc.constantFrom(...parts)).map((all) => all.join('')),
        ),
        (text) => {
          for (const query of splitTypeFilters(text.replaceAll('%3F', ''))) {
            try {
              parseTypeFilter(query).matches({ resourceType: 'Patient', id: 'a' });
            } catch (error) {
              assert.equal((error as { code?: string }).code, 'bad-request');
            }
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('finds in the elements that it names what it finds in the whole resource', () => {
    for (const [type, lines] of sampleLines())
      for (const { name } of searchParametersOf(type)) {
        const filter = compileTypeFilters([`${type}?${name}:missing=false`]);
        const elements = filter.elementsOf(type);
        for (const line of lines.slice(0, 20)) {
          const bytes = Buffer.from(line);
          const some = parseMembers(bytes, { start: 0, end: bytes.length }, elements);
          assert.equal(filter.matches(type, some), filter.matches(type, JSON.parse(line)), `${type}?${name}`);
        }
      }
    const died = compileTypeFilters(['Patient?deceased=true']);
    assert.deepEqual([...died.elementsOf('Patient')], ['deceasedBoolean', 'deceasedDateTime']);
  });

  it('has all its criteria hold, and is one alternative of its type', () => {
    const filter = compileTypeFilters([
      'Patient?gender=female&birthdate=lt1990',
      'Patient?_id=x',
      'Condition?code=a&code=b',
    ]);
    const patient = { resourceType: 'Patient', id: 'p', gender: 'female', birthDate: '1980-01-01' };
    assert.ok(filter.matches('Patient', patient));
    assert.ok(!filter.matches('Patient', { ...patient, gender: 'male' }));
    assert.ok(!filter.matches('Patient', { ...patient, birthDate: '1990' }));
    assert.ok(filter.matches('Patient', { ...patient, gender: 'male', id: 'x' }));
    assert.ok(filter.matches('Condition', { code: { coding: [{ code: 'a' }, { code: 'b' }] } }));
    assert.ok(!filter.matches('Condition', { code: { coding: [{ code: 'a' }] } }));
    assert.ok(filter.matches('Observation', {})); // a type without queries passes
  });

  it('is a query string: names and values are percent-decoded', () => {
    const matches = (query: string, resource: unknown) => parseTypeFilter(query).matches(resource);
    assert.ok(
      matches('Observation?code=http%3A%2F%2Floinc.org%7C1-2', {
        code: { coding: [{ system: 'http://loinc.org', code: '1-2' }] },
      }),
    );
    assert.ok(matches('Observation?code=x%2Cy', { code: { coding: [{ code: 'y' }] } }));
    assert.ok(matches('Patient?name%3Aexact=Ann+Lee', { name: [{ text: 'Ann Lee' }] }));
    assert.ok(matches('Observation?code:text=blood+pressure', { code: { text: 'Blood pressure' } }));
    assert.ok(matches('Observation?code=A+', { code: { coding: [{ code: 'A+' }] } }));
    for (const plus of ['+', ' ', '%2B']) {
      assert.ok(
        matches(`Observation?date=2020-01-01T01:00:00${plus}01:00`, {
          effectiveDateTime: '2020-01-01T00:00:00Z',
        }),
      );
    }
  });

  it('reads R4 escapes', () => {
    const matches = (query: string, code: string) =>
      parseTypeFilter(query).matches({ identifier: [{ value: code }], name: [{ family: code }] });
    assert.ok(matches('Patient?identifier=a\\,b', 'a,b'));
    assert.ok(!matches('Patient?identifier=a\\,b', 'a'));
    assert.ok(matches('Patient?identifier=a\\|b', 'a|b'));
    assert.ok(matches('Patient?identifier=a\\$b', 'a$b'));
    assert.ok(matches('Patient?identifier=a\\\\', 'a\\'));
    assert.ok(matches('Patient?family:exact=a\\,b,c', 'a,b'));
  });
});

describe('a search by reference, where the server has a base URL', () => {
  const references = new References(['https://fhir.example.org/r4/']);
  const BASE = 'https://fhir.example.org/r4';
  const NAMES = ['Patient/1', `${BASE}/Patient/1`, `${BASE}/Patient/1/_history/2`, 'Patient/1/_history/2'];
  for (const wanted of ['1', 'Patient/1', `${BASE}/Patient/1`]) {
    for (const reference of NAMES) {
      it(`finds ${reference} by ${wanted}`, () => {
        const { matches } = parseTypeFilter(`Observation?subject=${wanted}`, references);
        assert.ok(matches({ resourceType: 'Observation', subject: { reference } }));
      });
    }

    it(`finds no other server's and no other patient by ${wanted}`, () => {
      const filter = compileTypeFilters([`Observation?subject=${wanted}`], references);
      for (const reference of ['https://other.example.org/r4/Patient/1', `${BASE}/Patient/11`, 'Patient/11'])
        assert.ok(!filter.matches('Observation', { resourceType: 'Observation', subject: { reference } }));
    });
  }

  it('still compares absolute URLs of other servers to the letter', () => {
    const url = 'https://other.example.org/r4/Patient/1';
    const { matches } = parseTypeFilter(`Observation?subject=${url}`, references);
    assert.ok(matches({ resourceType: 'Observation', subject: { reference: url } }));
    assert.ok(!matches({ resourceType: 'Observation', subject: { reference: 'Patient/1' } }));
  });
});

describe('the search parameters of R4', () => {
  it('can be used in a query, each one listed, with every modifier that fits', () => {
    let parameters = 0;
    for (const type of RESOURCE_TYPES) {
      for (const { name } of searchParametersOf(type)) {
        parseTypeFilter(`${type}?${name}:missing=true`).matches({ resourceType: type });
        parameters += 1;
      }
    }
    assert.equal(parameters, 1692 - 6 + 6 * RESOURCE_TYPES.length);
  });

  it('are listed by name, type and definition', () => {
    const listed = searchParametersOf('Patient');
    assert.deepEqual(
      listed.find(({ name }) => name === 'birthdate'),
      {
        name: 'birthdate',
        type: 'date',
        definition: 'http://hl7.org/fhir/SearchParameter/individual-birthdate',
      },
    );
    assert.deepEqual(
      listed.map(({ name }) => name).filter((name) => name.startsWith('_')),
      ['_id', '_lastUpdated', '_profile', '_security', '_source', '_tag'],
    );
    assert.ok(!listed.some(({ name }) => name === 'phonetic'));
  });
});
