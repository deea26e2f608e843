import assert from 'node:assert/strict';
import fc from 'fast-check';
import { References } from '../../src/fhir/reference.ts';
import { HeadwaterError } from '../../src/base/errors.ts';
import { parseExportParameters } from '../../src/http/export-parameters.ts';
import { parametersOfBody, parametersOfQuery } from '../../src/http/raw-parameters.ts';
import { parseInstant } from '../../src/fhir/instant.ts';
import { isResourceType, RESOURCE_TYPES } from '../../src/fhir/resource-types.ts';

const SYSTEM = { level: 'system' } as const;
const references = new References(['https://fhir.example.org/r4']);
const OPTIONS = { lenient: false, containers: ['research'], references, binary: false };

/** Either parameters that keep every promise, or a bad-request: never another error. */
function parse(read: () => ReturnType<typeof parametersOfQuery>): void {
  try {
    const { types, since, outputFormat } = parseExportParameters(read(), SYSTEM, OPTIONS);
    assert.ok(types.every(isResourceType));
    assert.equal(new Set(types).size, types.length);
    assert.ok(since === undefined || parseInstant(since) !== undefined);
    assert.ok(['ndjson', 'ndjson+gzip'].includes(outputFormat));
  } catch (error) {
    assert.ok(error instanceof HeadwaterError && error.code === 'bad-request', String(error));
    assert.ok(error.message.length < 400);
  }
}

describe('export parameters', () => {
  const name = fc.oneof(
    fc.constantFrom('_type', '_since', '_outputFormat', '_typeFilter', '__proto__'),
    fc.string(),
  );
  const instant = fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
  const value = fc.oneof(
    fc.constantFrom('Patient', 'Patient,Group', 'ndjson', 'application/fhir+ndjson'),
    instant,
    fc.string(),
  );

  it('of any query are good or a bad-request', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (query) => parse(() => parametersOfQuery(query))));
    const query = fc
      .array(fc.tuple(name, value))
      .map((pairs) => pairs.map(([n, v]) => `${n}=${v}`).join('&'));
    fc.assert(
      fc.property(query, (text) => parse(() => parametersOfQuery(text))),
      { numRuns: 500 },
    );
  });

  it('of any body are good or a bad-request', () => {
    fc.assert(fc.property(fc.jsonValue(), (body) => parse(() => parametersOfBody(body))));
    const parameter = fc.record(
      {
        name: fc.oneof(name, fc.jsonValue()),
        valueString: fc.oneof(value, fc.jsonValue()),
        valueInstant: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    const body = fc.record({
      resourceType: fc.constant('Parameters'),
      parameter: fc.array(fc.oneof(parameter, fc.jsonValue())),
    });
    fc.assert(
      fc.property(body, (resource) => parse(() => parametersOfBody(resource))),
      { numRuns: 500 },
    );
  });

  it('say the same however _type is divided into csv and repeats', () => {
    const types = fc.array(fc.constantFrom(...RESOURCE_TYPES), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(types, fc.infiniteStream(fc.constantFrom(',', '&_type=')), (list, separators) => {
        const query = list.reduce(
          (text, type) => (text === '' ? `_type=${type}` : text + String(separators.next().value) + type),
          '',
        );
        assert.deepEqual(parseExportParameters(parametersOfQuery(query), SYSTEM, OPTIONS).types, [
          ...new Set(list),
        ]);
      }),
    );
  });

  it('take any _since, since only the log knows its own time', () => {
    const since = '2999-01-01T00:00:00Z';
    assert.equal(parseExportParameters([{ name: '_since', value: since }], SYSTEM, OPTIONS).since, since);
  });

  it('warn of the devices that an export of patients leaves out, when _type names Device', () => {
    const raw = parametersOfQuery('_type=Patient,Device');
    const ofPatients = parseExportParameters(raw, { ...SYSTEM, level: 'patient' }, OPTIONS);
    assert.match(ofPatients.warnings.join(), /Device\.patient/);
    assert.deepEqual(parseExportParameters(raw, SYSTEM, OPTIONS).warnings, []);
  });
});
