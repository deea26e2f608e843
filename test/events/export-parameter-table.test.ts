import assert from 'node:assert/strict';
import { EXPORT_PARAMETERS } from '../../src/events/export-parameter-table.ts';
import type { ExportParameter } from '../../src/events/export-parameter-table.ts';
import { GivenParameter, Leniency } from '../../src/events/given-parameter.ts';
import { EVERYTHING } from '../../src/events/request.ts';
import { References } from '../../src/fhir/reference.ts';
import { openApi } from '../../src/http/openapi.ts';
import { operationDefinition, OPERATIONS } from '../../src/http/operation-definitions.ts';

const rows: readonly ExportParameter[] = EXPORT_PARAMETERS;

describe('the table of export parameters', () => {
  it('has one row for each name and each field', () => {
    assert.equal(new Set(rows.map(({ name }) => name)).size, rows.length);
    assert.equal(new Set(rows.map(({ field }) => field)).size, rows.length);
  });

  it('reads a parameter that is not given as the default of a request', () => {
    const context = {
      target: { level: 'system' },
      binary: true,
      containers: [],
      references: new References([]),
      read: EVERYTHING,
    } as const;
    for (const { name, field, read } of rows)
      assert.deepEqual(
        read(new GivenParameter(name, [], new Leniency(false)), context),
        EVERYTHING[field],
        name,
      );
  });

  it('is what OpenAPI and the OperationDefinitions list, level by level', () => {
    const api = openApi({ publicUrl: 'http://x', requirePrefer: false }) as {
      components: { parameters: Record<string, unknown> };
    };
    const names = rows.map(({ name }) => name);
    assert.deepEqual(Object.keys(api.components.parameters), [...names, 'Prefer']);
    for (const [id, operation] of OPERATIONS) {
      const definition = operationDefinition(id, operation, { baseUrl: 'http://x', startedAt: 0 }) as {
        parameter: { name: string; use: string }[];
      };
      assert.deepEqual(
        definition.parameter.filter(({ use }) => use === 'in').map(({ name }) => name),
        rows.filter(({ levels }) => levels.includes(operation.level)).map(({ name }) => name),
      );
    }
  });
});
