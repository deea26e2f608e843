import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { lsn, stamp } from '../../src/base/positions.ts';
import { ChangeDeriver, derive } from '../../src/capture/change-deriver.ts';
import type { Derivation } from '../../src/capture/change-deriver.ts';
import type { SourceRow } from '../../src/capture/presets/source-row.ts';
import { References } from '../../src/fhir/reference.ts';

const BASE = 'https://fhir.example.org/r4';
const RULES = { maxBytes: 64 << 20, references: new References([BASE]) };
const POINT = { stamp: stamp(1), lsn: lsn(2n) };

describe('a change of a large resource', function () {
  this.timeout(120_000);

  it('is the same as one that is made at once, whatever the rows are', async () => {
    const deriver = new ChangeDeriver(RULES);
    const large = observation(`${BASE}/Patient/large`, 'x'.repeat(300_000));
    const small = observation('Patient/small', 'y');
    const broken = { ...large, body: Buffer.from(`{\n${'z'.repeat(300_000)}`) };
    const spaced = { ...large, body: Buffer.from(`\n${large.body?.toString()}`) };
    const rows = [large, small, broken, spaced, { ...large, id: 'other' }, { ...large, deleted: true }];
    const all: Derivation[] = [...rows, undefined].flatMap((old) =>
      [...rows, undefined].map((row) => ({ of: 'change' as const, old, row, point: POINT })),
    );
    for (const row of rows) all.push({ of: 'load', operation: 'snapshot', row, point: POINT });
    for (const derivation of all) {
      const changes = await deriver.derive(derivation);
      assert.deepEqual(
        JSON.stringify(changes, printable),
        JSON.stringify(derive(derivation, RULES), printable),
      );
    }
    assert.ok(large.body?.toString().startsWith('{'), 'the rows keep their bodies');
    await deriver.close();
  });

  it('lets the process answer meanwhile', async () => {
    const deriver = new ChangeDeriver(RULES);
    const [old, row] = [group(100_000, 'a'), group(100_000, 'b')];
    const derivation: Derivation = { of: 'change', old, row, point: POINT };
    const begun = performance.now();
    derive(derivation, RULES);
    const atOnce = performance.now() - begun;
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    await deriver.derive(derivation);
    delay.disable();
    await deriver.close();
    assert.ok(delay.percentile(99) / 1e6 < atOnce / 2, `${delay.percentile(99) / 1e6} ms of ${atOnce} ms`);
  });

  it('fails when the thread ends, and is made when asked for again', async () => {
    const deriver = new ChangeDeriver(RULES);
    const derivation: Derivation = { of: 'load', operation: 'update', row: group(50_000, 'a'), point: POINT };
    const failed = assert.rejects(Promise.resolve(deriver.derive(derivation)), { code: 'unavailable' });
    await deriver.close();
    await failed;
    assert.equal((await deriver.derive(derivation)).length, 1);
    await deriver.close();
  });
});

function observation(subject: string, value: string): SourceRow {
  const body = JSON.stringify({
    resourceType: 'Observation',
    id: 'o',
    subject: { reference: subject },
    valueString: value,
  });
  return {
    type: 'Observation',
    id: 'o',
    version: '1',
    lastUpdated: 1,
    body: Buffer.from(body),
    deleted: false,
  };
}

function group(members: number, start: string): SourceRow {
  const member = Array.from({ length: members }, (_, i) => ({
    entity: { reference: `Patient/${start}-0000-4000-8000-${i}` },
  }));
  const body = JSON.stringify({ resourceType: 'Group', id: 'g', member });
  return { type: 'Group', id: 'g', version: '1', lastUpdated: 1, body: Buffer.from(body), deleted: false };
}

/** Bytes as text, whatever their class. */
function printable(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  const isBuffer = typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer';
  if (isBuffer && 'data' in value) return Buffer.from(value.data as number[]).toString();
  return value instanceof Uint8Array ? Buffer.from(value).toString() : value;
}
