import assert from 'node:assert/strict';
import fc from 'fast-check';
import { KeySet } from '../../src/base/key-set.ts';
import type { RecordBatch } from '../../src/log/log.ts';
import { newestFirst } from '../../src/log/newest-first.ts';
import type { Remember } from '../../src/log/newest-first.ts';
import { batchOf } from '../cohort/log-record.ts';

/** The least: room for 96 keys. */
const FEW = 1;

interface Made {
  readonly key: string;
  readonly does: Does;
}

type Does = 'skip' | 'ask' | 'watch' | 'doubt' | 'tell older';

/** Reports on records, newest first: `newest`, `older` or `doubted`, with offsets. */
async function told(records: readonly Made[], keyBytes: number, size: number) {
  const lines: string[] = [];
  let passes = 0;
  const open = async function* (below: number): AsyncIterable<RecordBatch> {
    passes++;
    for (let end = Math.min(records.length, below + 1); end > 0; end -= size) {
      const begin = Math.max(0, end - size);
      yield batchOf(
        records.slice(begin, end).map(({ key }, i) => {
          return { offset: begin + i, key, stamp: 0, value: Buffer.alloc(0), about: undefined };
        }),
      );
      await Promise.resolve();
    }
  };
  const visitor = {
    visit(batch: RecordBatch, i: number, older: boolean): Remember {
      const does = records[batch.offset(i)]?.does ?? assert.fail();
      lines.push(`${batch.offset(i)} ${older ? 'older' : 'newest'}`);
      return does === 'tell older' ? 'watch' : does;
    },
    doubted(batch: RecordBatch, i: number): void {
      lines.push(`${batch.keyText(i)} doubted`);
    },
  };
  for await (const batch of newestFirst({ open, from: 0, visitor, keyBytes })) assert(batch.end > 0);
  return { lines: lines.sort(), passes };
}

/** The same with a Map of all keys. */
function expected(records: readonly Made[]): string[] {
  const met = new Map<string, Does>();
  const lines: string[] = [];
  for (const [i, { key, does }] of [...records.entries()].toReversed()) {
    const before = met.get(key);
    if (before === 'skip') continue;
    lines.push(`${i} ${before === undefined ? 'newest' : 'older'}`);
    if (does !== 'ask') met.set(key, does);
    else if (before !== undefined) met.set(key, 'skip');
  }
  for (const [key, does] of met) if (does === 'doubt') lines.push(`${key} doubted`);
  return lines.sort();
}

const history = fc.array(
  fc.record({
    key: fc.oneof(
      { weight: 3, arbitrary: fc.nat(5_000).map((n) => `Observation/${n}`) },
      { weight: 1, arbitrary: fc.nat(20).map((n) => `Observation/often-${n}`) },
    ),
    does: fc.constantFrom<Does>('skip', 'skip', 'watch', 'doubt', 'tell older'),
  }),
  { minLength: 300, maxLength: 900, size: 'max' },
);

describe('a range that is visited newest first', function () {
  this.timeout(120_000);
  it('gives the same whether its keys fit into memory or not', async () => {
    let most = 0;
    await fc.assert(
      fc.asyncProperty(history, fc.constantFrom(1, 7, 1_000), async (records, size) => {
        const roomy = await told(records, 1 << 20, size);
        const narrow = await told(records, FEW, size);
        assert.deepEqual(roomy.lines, expected(records));
        assert.deepEqual(narrow.lines, roomy.lines);
        most = Math.max(most, narrow.passes);
      }),
      { numRuns: 15 },
    );
    assert(most > 4, `${most} passes at most`);
  });

  it('is read once when nothing has to be remembered, and once more for what stays in doubt', async () => {
    const records: Made[] = Array.from({ length: 1_000 }, (_, n) => ({ key: `Patient/${n}`, does: 'ask' }));
    assert.equal((await told(records, FEW, 10)).passes, 1);
    assert.equal((await told([{ key: 'Patient/x', does: 'doubt' }, ...records], FEW, 10)).passes, 2);
  });

  it('takes about as many passes as its keys fill memory', async () => {
    const records: Made[] = Array.from({ length: 20_000 }, (_, n) => ({ key: `Patient/${n}`, does: 'skip' }));
    const bytes = 64 << 10; // 32 tables of 170 slots
    const { passes, lines } = await told(records, bytes, 1_000);
    assert.equal(lines.length, 20_000);
    const capacity = 32 * Math.floor(170 * 0.8);
    assert(passes <= 2 * Math.ceil(20_000 / capacity), `${passes} passes for ${20_000 / capacity}`);
  });
});

describe('a set of keys', () => {
  it('knows exactly the keys that were put in until it is cleared', () => {
    const set = new KeySet(1 << 20);
    const keyOf = (n: number): Buffer => Buffer.from(`Observation/${'x'.repeat(n % 40)}${n}`);
    const look = (n: number): KeySet => {
      const key = keyOf(n);
      set.lookAt(key, 0, key.length);
      return set;
    };
    for (let n = 0; n < 20_000; n += 2) look(n).put(n % 3 === 0, false);
    assert.equal(set.size, 10_000);
    assert(!set.isFull);
    for (let n = 0; n < 20_000; n++) {
      assert.equal(look(n).has, n % 2 === 0);
      assert.equal(set.watched, n % 6 === 0);
    }
    set.clear();
    for (let n = 0; n < 20_000; n++) assert(!look(n).has);
    assert.equal(set.size, 0);
  });
});
