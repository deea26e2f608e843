import assert from 'node:assert/strict';
import fc from 'fast-check';
import { copyRow, linesOf } from '../../src/client/resource-lines.ts';

const NOW = '2026-01-01T00:00:00.000Z';

async function* pieces(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let from = 0;
  for (const size of sizes) {
    yield Promise.resolve(bytes.subarray(from, from + size)) as unknown as Buffer;
    from += size;
  }
  yield bytes.subarray(from);
}

/** What COPY's text format makes of a field. */
function unescape(field: string): string {
  return field.replaceAll(
    /\\(.)/g,
    (_, character: string) => ({ t: '\t', r: '\r', n: '\n' })[character] ?? character,
  );
}

describe('lines of a stream', () => {
  it('are the same however the stream is cut into chunks', async () => {
    const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll(/[\r\n]/g, ''));
    await fc.assert(
      fc.asyncProperty(
        fc.array(line),
        fc.array(fc.nat(20)),
        fc.constantFrom('\n', '\r\n'),
        async (list, sizes, end) => {
          const got: string[] = [];
          for await (const lines of linesOf(
            pieces(Buffer.from(list.map((text) => text + end).join('')), sizes),
          )) {
            got.push(...lines.map((each) => each.toString()));
          }
          assert.deepEqual(got, [...list, '']);
        },
      ),
    );
  });
});

describe('row of a resource', () => {
  it('keeps the bytes of the line, whatever they are', () => {
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('\\', '\t', '"', 'ä€😀', '\\N', '\\.', '\u2028'),
    );
    fc.assert(
      fc.property(fc.array(value), fc.constantFrom('', ' ', '\t', '\r'), (values, space) => {
        const line = Buffer.from(
          `{"resourceType":"Patient",${space}"id":"a-1.b","x":${JSON.stringify(values)}}${space}`,
        );
        const row = copyRow(line, NOW);
        assert.ok(row.endsWith('\n') && row.indexOf('\n') === row.length - 1);
        const [type, id, version, lastUpdated, body, ...more] = row.slice(0, -1).split('\t');
        assert.deepEqual([type, id, version, lastUpdated, more], ['Patient', 'a-1.b', '1', NOW, []]);
        assert.ok(Buffer.from(unescape(body ?? ''), 'latin1').equals(line));
      }),
    );
  });

  it('takes version and time from meta where they are good', () => {
    const row = (meta: unknown): string[] =>
      copyRow(Buffer.from(JSON.stringify({ resourceType: 'Patient', id: 'a', meta })), NOW)
        .split('\t')
        .slice(2, 4);
    assert.deepEqual(row({ versionId: '7', lastUpdated: '2024-01-01T00:00:00+01:00' }), [
      '7',
      '2024-01-01T00:00:00+01:00',
    ]);
    for (const meta of [
      null,
      'x',
      {},
      { versionId: 'W/"1"', lastUpdated: 'now' },
      { versionId: 3, lastUpdated: 4 },
      { versionId: '0' },
    ]) {
      assert.deepEqual(row(meta), ['1', NOW]);
    }
  });

  for (const line of [
    '',
    '{',
    'null',
    '[]',
    '"x"',
    '{}',
    '{"resourceType":"Patiant","id":"a"}',
    '{"resourceType":"Patient"}',
    '{"resourceType":"Patient","id":"a/b"}',
    '{"resourceType":"Patient","id":7}',
  ]) {
    it(`is refused for ${line || 'nothing'}`, () => {
      assert.throws(() => copyRow(Buffer.from(line), NOW), { code: 'bad-request' });
    });
  }
});
