import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import fc from 'fast-check';
import { apply, keyOf, linesOf, sorted } from '../cohort/exported.ts';
import { beginning, chapter } from '../cohort/history.ts';
import type { Chapter } from '../cohort/history.ts';
import { answer } from '../cohort/oracle.ts';
import type { Row } from '../cohort/world.ts';
import { outcome, request, Source } from './cohorts.ts';
import type { Outcome, Request } from './cohorts.ts';
import { Headwater } from './headwater.ts';
import { Random } from './random.ts';

const ROUNDS = Number(process.env['HEADWATER_TEST_COHORTS'] ?? 40);
const SEED = Number(process.env['HEADWATER_TEST_COHORTS_SEED'] ?? randomInt(2 ** 30));

const REQUESTS: readonly Request[] = [
  { level: 'patient' },
  { level: 'patient', patients: ['p1', 'p3'] },
  { level: 'patient', patients: ['p2'], alone: 'p2' },
  { level: 'patient', types: ['Observation', 'Practitioner', 'Provenance'] },
  { level: 'group', group: 'g1' },
  { level: 'group', group: 'g2' },
  { level: 'group', group: 'g1', types: ['Group', 'Observation', 'Practitioner'] },
  { level: 'group', group: 'g1', patients: ['p2'] },
];

/** Of one request what its client holds, and since when. */
interface Copy {
  readonly lines: ReadonlyMap<string, string>;
  readonly time: string;
}

describe(`cohorts as clients keep them, with HEADWATER_TEST_COHORTS_SEED=${SEED}`, function () {
  this.timeout(240_000);
  const random = new Random(SEED);
  const copies = new Map<Request, Copy>();
  let headwater: Headwater;
  let source: Source;
  let end: () => Promise<void>;

  before(async () => {
    headwater = await Headwater.make(false);
    const client = await headwater.connect();
    end = () => client.end();
    source = new Source(client, random);
    const [first, ...rest] = sample(beginning).transactions;
    await source.commit(first?.writes ?? []);
    await headwater.startServing();
    await headwater.startCapture();
    for (const { writes } of rest) await source.commit(writes);
  });

  after(async () => {
    await end();
    await headwater.remove();
  });

  afterEach(function () {
    if (this.currentTest?.state === 'failed') console.log(headwater.trouble.slice(-20).join('\n'));
    headwater.trouble.length = 0;
  });

  /** Always the same for a seed and a place in the run. */
  function sample(arbitrary: fc.Arbitrary<Chapter>): Chapter {
    const [one] = fc.sample(arbitrary, { seed: random.int(0, 2 ** 30), numRuns: 1 });
    // Periods of memberships begin and end about now, instead of at the beginning of the year.
    const shift = Date.now() - Date.UTC(2026, 0, 1);
    const text = JSON.stringify(one).replaceAll(
      /"(start|end)":"(2026-01-01T[^"]*)"/g,
      (_, name: string, instant: string) =>
        `"${name}":"${new Date(Date.parse(instant) + shift).toISOString()}"`,
    );
    return JSON.parse(text) as Chapter;
  }

  async function check(one: Request, rows: ReadonlyMap<string, Row>): Promise<void> {
    const copy = copies.get(one);
    const urls = [await request(headwater.base, one, random.chance(0.3))];
    if (copy) urls.push(await request(headwater.base, { ...one, since: copy.time }, random.chance(0.3)));
    const [full, changes] = await Promise.all(urls.map(outcome));
    assert(full);
    const expected = answer(rows, Date.parse(full.transactionTime), one);
    assert.equal(full.failed, expected.failed);
    const lines = expected.failed === undefined ? assertIs(full, expected) : undefined;
    if (!copy || !changes) {
      if (lines) copies.set(one, { lines, time: full.transactionTime });
      return;
    }
    // A membership may have ended between the two.
    const then = answer(rows, Date.parse(changes.transactionTime), one);
    assert.equal(changes.failed, then.failed);
    if (then.failed !== undefined) return;
    const applied = apply(copy.lines, typed(changes));
    assert.deepEqual(sorted(applied), sorted(then.lines));
    copies.set(one, { lines: applied, time: changes.transactionTime });
  }

  for (let round = 1; round <= ROUNDS; round++)
    it(`round ${round}: what changed since, applied to what was there, is what is there`, async () => {
      for (const { wait, writes } of sample(chapter).transactions) {
        if (wait > 100) await new Promise((resolve) => setTimeout(resolve, wait));
        await source.commit(writes);
      }
      if (random.chance(0.05)) await headwater.restart(random.chance(0.5) ? 'capture' : 'work');
      const rows = new Map(source.rows);
      const some = REQUESTS.filter((_, i) => round === 1 || round === ROUNDS || (i + round) % 3 === 0);
      const checked = await Promise.allSettled(
        some.map((one) =>
          check(one, rows).catch((error: unknown) => {
            throw new Error(`${JSON.stringify(one)} since ${copies.get(one)?.time}`, { cause: error });
          }),
        ),
      );
      for (const result of checked) if (result.status === 'rejected') throw result.reason;
    });
});

function assertIs(full: Outcome, expected: Extract<ReturnType<typeof answer>, { failed: undefined }>) {
  const lines = linesOf(typed(full));
  assert.deepEqual(sorted(lines), sorted(expected.lines));
  assert.deepEqual(full.deleted, []);
  if (expected.nobody)
    assert(
      full.problems.some((text) => text.startsWith('warning ')),
      'it says why it is empty',
    );
  else
    assert.deepEqual(
      full.problems.filter((text) => text.startsWith('error ')),
      [],
    );
  return lines;
}

/** With the type of the file, which was compared when it was downloaded. */
function typed({ output, ...rest }: Outcome) {
  const typeOf = (line: string): string => keyOf(line).split('/')[0] ?? '';
  return {
    ...rest,
    count: output.length,
    output: output.map((line) => ({ type: typeOf(line), line, beginsFile: false })),
  };
}
