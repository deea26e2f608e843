import fc from 'fast-check';

/** A parameter, as it is before it is encoded. */
export interface OddParameter {
  readonly name: string;
  readonly value: string;
}

const VALUES: Readonly<Record<string, readonly string[]>> = {
  _outputFormat: ['ndjson', 'application/fhir+ndjson', 'application/fhir+ndjson+gzip', 'csv', ''],
  _since: ['2024-02-29T10:00:00.123+02:00', '2999-01-01T00:00:00Z', '2024-01-01', 'now', ''],
  _until: ['2025-01-01T00:00:00Z', '2024-02-29T08:00:00.123Z', '1', ''],
  _type: ['Patient', 'Patient,Group', 'Patient%2CGroup', 'Patiant', ',', '', 'Patient,'.repeat(3_000)],
  _typeFilter: [
    'Patient?active=true',
    'Patient?name:exact=A\\,B,Observation?code=http://loinc.org|1-2&date=ge2020',
    'Patient%3Factive%3Dtrue',
    'Patient%3Fname%3D%00',
    'Patient?name=%ff',
    'Patient?_has:Observation:subject:code=1',
    'Observation?subject.name=x',
    'Observation?date=gt',
    'Observation?value-quantity=1|2|3|4|5',
    'Observation?code-value-quantity=a$b$c',
    'Patient?',
    '?',
    'Patient?_id=a,'.repeat(500),
  ],
  _elements: ['id', 'Patient.name,id', 'Patient.name.given', '.', 'Shoe.size', '', 'id,'.repeat(3_000)],
  patient: ['Patient/a', 'a,b', 'Group/a', 'Patient/a/_history/1', '', 'x,'.repeat(3_000)],
  includeAssociatedData: ['LatestProvenanceResources', 'RelevantProvenanceResources', '_custom', ''],
  organizeOutputBy: ['Patient', 'Encounter', ''],
  allowPartialManifests: ['true', 'false', 'TRUE', ''],
  _container: ['research', '../research', ''],
};

export const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  // NUL, halves of surrogate pairs, what ends lines, what has a meaning further in
  fc.string({
    unit: fc.constantFrom(
      '\0',
      '\ud800',
      '\udfff',
      '\r',
      '\n',
      '\t',
      '\ufeff',
      ',',
      '%',
      '\\',
      '|',
      '$',
      '?',
      '&',
    ),
  }),
  fc.constantFrom(
    '%',
    '%zz',
    '%ff%fe',
    '%00',
    '%C0%80',
    '\u202e',
    '__proto__',
    'constructor',
    "'; --",
    '${x}',
  ),
  fc.string().map((text) => (text + 'x').repeat(400)),
);

export const known = fc
  .constantFrom(...Object.entries(VALUES))
  .chain(([name, values]) =>
    fc
      .oneof({ weight: 4, arbitrary: fc.constantFrom(...values) }, { weight: 1, arbitrary: anyText })
      .map((value): OddParameter => ({ name, value })),
  );
export const unknown = fc
  .tuple(fc.oneof(fc.constantFrom('_Type', '_type ', '__proto__', 'toString', '_sort', ''), anyText), anyText)
  .map(([name, value]): OddParameter => ({ name, value }));
export const parameters = fc.oneof(
  { weight: 6, arbitrary: fc.array(known, { maxLength: 4 }) },
  { weight: 1, arbitrary: fc.array(fc.oneof(known, unknown), { maxLength: 6 }) },
  {
    weight: 1,
    arbitrary: fc.tuple(known, fc.nat(150)).map(([one, count]) => Array<OddParameter>(count).fill(one)),
  },
);

/** As a message would have it, up to where it would be cut. */
export function quotedName(name: string): string {
  if (Object.hasOwn(VALUES, name)) return name;
  return JSON.stringify(name.slice(0, 100))
    .slice(0, -1)
    .replaceAll(/\p{Cc}/gu, '\uFFFD');
}
