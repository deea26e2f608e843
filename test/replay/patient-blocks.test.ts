import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import fc from 'fast-check';
import { isCertain, messageOf, remedyFor } from '../../src/base/errors.ts';
import { PatientBlocks, refused } from '../../src/replay/patient-blocks.ts';

interface Line {
  readonly id: string;
  readonly itself: boolean;
  readonly text: string;
}

/** Adds lines as a replay does, and reads the blocks: by id, the patient, then the others. */
async function blocksOf(lines: readonly Line[], memoryBytes: number): Promise<[string, string[]][]> {
  const blocks = new PatientBlocks(memoryBytes);
  const found: [string, string[]][] = [];
  try {
    for (const { id, itself, text } of lines) {
      const data = Buffer.from(`<${text}>`);
      blocks.add(id, itself, data, [1, data.length - 1]);
      data.fill(0); // its memory is used again
      await blocks.drain();
    }
    for await (const { id, itself, others } of blocks.blocks())
      found.push([id, (itself ? [itself, ...others] : others).map(String)]);
  } finally {
    await blocks.close();
  }
  return found;
}

const ours = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('headwater-'));

describe('lines that are sorted by patient', function () {
  this.timeout(120_000);

  it('give the same blocks whether they fit into memory or are spilled and divided again', async () => {
    const line = fc.record({
      id: fc.nat(200).map((n) => `patient-${n}`),
      itself: fc.constant(false),
      text: fc.string({ maxLength: 60 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 400, size: 'max' }),
        fc.constantFrom(1, 300, 3_000),
        async (lines, memoryBytes) => {
          const all = lines.flatMap((one, i) =>
            i % 5 === 0 ? [one, { id: `with-${i}`, itself: true, text: 'itself' }] : [one],
          );
          const spilled = await blocksOf(all, memoryBytes);
          assert.deepEqual(new Map(spilled), new Map(await blocksOf(all, 1 << 20)));
          assert.equal(new Set(spilled.map(([id]) => id)).size, spilled.length, 'a patient has one block');
          assert.deepEqual(await blocksOf(all, memoryBytes), spilled, 'and the same order again');
        },
      ),
      { numRuns: 6 },
    );
  });

  it('are in files without names, which a process that is killed does not leave behind', async () => {
    const before = ours();
    const blocks = new PatientBlocks(10);
    blocks.add('p', true, Buffer.alloc(100), [0, 100]);
    await blocks.drain();
    assert.deepEqual(ours(), before);
    await blocks.close();
  });

  it('fail the job with the name of TMPDIR when there is no room for them', async () => {
    const { TMPDIR } = process.env;
    process.env['TMPDIR'] = '/dev/null'; // nothing can be made in it
    const blocks = new PatientBlocks(10);
    try {
      blocks.add('p', true, Buffer.alloc(100), [0, 100]);
      await assert.rejects(blocks.drain(), (error: unknown) => {
        assert.match(messageOf(error), /ENOTDIR.*TMPDIR/);
        return remedyFor(error) === 'fail' && isCertain(error);
      });
    } finally {
      if (TMPDIR === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = TMPDIR;
      await blocks.close();
    }
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    assert.throws(() => refused(full), /ENOSPC.*TMPDIR/);
  });
});
