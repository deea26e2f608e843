import assert from 'node:assert/strict';
import { chained } from '../../src/audit/chain.ts';
import { policyLoaded } from '../../src/audit/entries.ts';
import { verifyChain } from '../../src/audit/verify.ts';
import type { Verified } from '../../src/audit/verify.ts';
import { NO_AUDIT } from '../../src/events/audit.ts';
import type { AuditRecord } from '../../src/events/audit.ts';
import { controlCodecs } from '../../src/events/control-codec.ts';
import { allTopics } from '../../topics/all.ts';

const { audit: codec } = controlCodecs(
  new Map(
    allTopics.map(({ subject, schema }, i) => [subject, { id: i + 1, writers: new Map([[i + 1, schema]]) }]),
  ),
  'a secret of the tests that seals records',
);
const AT = 1_700_000_000_000;
const entries = Array.from({ length: 9 }, (_, i) => ({
  at: AT + i,
  entry: policyLoaded(`policy ${String(i)}`),
}));
const options = { codec, observer: 'https://export.example.org/fhir' };
const first = chained(entries.slice(0, 4), NO_AUDIT, options);
const second = chained(entries.slice(4), first.head, options);
const VALUES = [...first.values, ...second.values];

async function* records(values: readonly Buffer[]): AsyncIterable<{ record: AuditRecord; value: Buffer }> {
  for (const value of values) yield await Promise.resolve({ record: codec.decode(value), value });
}

function verify(values: readonly Buffer[], keptSince = 0): Promise<Verified> {
  return verifyChain(records(values), second.head, keptSince);
}

describe('the chain of the audit log', () => {
  it('is whole as it is written, over several writers', async () => {
    assert.deepEqual(await verify(VALUES), { first: 1, last: 9, problems: [] });
    assert.deepEqual(await verifyChain(records([]), NO_AUDIT, 0), { first: 0, last: 0, problems: [] });
  });

  for (const [i] of VALUES.entries()) {
    it(`tells that record ${String(i + 1)} was removed`, async () => {
      const { problems } = await verify(VALUES.filter((_, k) => k !== i));
      assert.equal(problems.length, 1, problems.join('\n'));
      assert.match(problems[0] ?? '', /remove|comes/);
    });

    it(`tells that record ${String(i + 1)} was changed`, async () => {
      const forged = VALUES.map((value, k) =>
        k === i ? codec.encode({ ...codec.decode(value), fhir: Buffer.from('{}') }) : value,
      );
      assert.match(
        (await verify(forged)).problems[0] ?? '',
        new RegExp(`record ${String(i + 1)} is not the one`),
      );
    });
  }

  it('tells that two records changed places, and that all were removed', async () => {
    const [a, b, ...others] = VALUES;
    assert.ok(a && b);
    assert.ok((await verify([b, a, ...others])).problems.length > 0);
    assert.match((await verify([])).problems[0] ?? '', /records 1 to 9 were removed/);
  });

  it('may begin later than at 1 if the first records were old', async () => {
    assert.deepEqual(await verify(VALUES.slice(3), AT + 100), { first: 4, last: 9, problems: [] });
    assert.match((await verify(VALUES.slice(3), AT)).problems[0] ?? '', /removed before their time/);
  });
});
