import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import fc from 'fast-check';
import { apply, blocksOf, keyOf, linesOf, sorted } from '../cohort/exported.ts';
import { beginning, chapter } from '../cohort/history.ts';
import type { Chapter } from '../cohort/history.ts';
import { answer } from '../cohort/oracle.ts';
import type { Json, Row, Write } from '../cohort/world.ts';
import { supersededRecords } from './afterwards.ts';
import { compactAtOnce, outcome, request, Source } from './cohorts.ts';
import type { Outcome, Request } from './cohorts.ts';
import { until } from '../support/until.ts';
import { Headwater } from './headwater.ts';
import { Random } from './random.ts';

const ROUNDS = Number(process.env['HEADWATER_TEST_COHORTS'] ?? 30);
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
  const tally = { full: 0, 'not-found': 0, 'bad-request': 0, applied: 0, output: 0, deleted: 0 };
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
    console.log(JSON.stringify(tally));
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

  async function check(one: Request, rows: ReadonlyMap<string, Row>, post: boolean): Promise<void> {
    const copy = copies.get(one);
    const begun = Date.now();
    const urls = [await request(headwater.base, one, post)];
    if (copy) urls.push(await request(headwater.base, { ...one, since: copy.time }, !post));
    const [full, changes] = await Promise.all(urls.map(outcome));
    assert(full);
    tally[full.failed ?? 'full']++;
    const expected = expectedOf(full, rows, one, begun);
    const lines = expected && assertIs(full, expected);
    if (!copy || !changes) {
      if (lines) copies.set(one, { lines, time: full.transactionTime });
      return;
    }
    // A membership may have ended between the two.
    const then = expectedOf(changes, rows, one, begun);
    if (!then) return;
    const applied = apply(copy.lines, typed(changes));
    assert.deepEqual(sorted(applied), sorted(then.lines));
    copies.set(one, { lines: applied, time: changes.transactionTime });
    tally.applied++;
    tally.output += changes.output.length;
    tally.deleted += changes.deleted.length;
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
          check(one, rows, random.chance(0.5)).catch((error: unknown) => {
            throw new Error(`${JSON.stringify(one)} since ${copies.get(one)?.time}`, { cause: error });
          }),
        ),
      );
      for (const result of checked) if (result.status === 'rejected') throw result.reason;
    });

  it('organizes output in one block for each patient, patient first, and does not count headers', async () => {
    const one: Request = { level: 'patient', types: ['Appointment', 'Observation', 'Patient'] };
    const rows = new Map(source.rows);
    const found = await outcome(await request(headwater.base, { ...one, organized: true }, false));
    const expected = answer(rows, timeOf(found), one);
    assert.equal(expected.failed, undefined);
    const blocks = blocksOf({ ...typed(found), output: asFiles(found.output) });
    const owned = [...expected.lines].flatMap(([key, line]) =>
      (expected.owners.get(key) ?? []).map((owner) => `${owner} ${line}`),
    );
    const inBlocks = [...blocks].flatMap(([owner, block]) => block.map((line) => `${owner} ${line}`));
    assert.deepEqual(inBlocks.sort(), owned.sort());
    for (const [owner, [first = '']] of blocks)
      if (rows.has(`Patient/${owner}`)) assert.equal(keyOf(first), `Patient/${owner}`);
  });

  it('stays exact after compaction of old versions, and keeps every version of a group', async () => {
    const put = (type: string, id: string, resource: Json): Write => ({ type, id, resource });
    const observation = (n: number): Write[] =>
      ['p1', 'p2', 'p3'].map((id) =>
        put('Observation', `of-${id}`, { n, subject: { reference: `Patient/${id}` } }),
      );
    const group = (...ids: readonly string[]): Write =>
      put('Group', 'g1', { member: ids.map((id) => ({ entity: { reference: `Patient/${id}` } })) });
    const patients = ['p1', 'p2', 'p3'].map((id) => put('Patient', id, {}));
    await source.commit([...patients, ...observation(0), group('p1', 'p2')]);
    await checkAll();
    await source.commit([group('p3')]);
    for (let n = 1; n <= 20; n++) await source.commit([...observation(n), group('p2', 'p3')]);
    await source.commit([{ type: 'Observation', id: 'of-p2', resource: undefined }]);
    await outcome(await request(headwater.base, { level: 'patient' }, false)); // then capture has written them
    const groups = await supersededRecords(headwater, 'Group');
    const old = await supersededRecords(headwater, 'Observation');
    assert(old.size >= 60, 'there is something to take away');
    await compactAtOnce(headwater);
    let n = 100;
    await until(
      'compaction to remove old versions',
      async () => {
        await source.commit([...observation(n++), group('p2', 'p3')]); // something begins a new segment: only closed ones are compacted
        const now = await supersededRecords(headwater, 'Observation');
        return ![...old].some((version) => now.has(version));
      },
      { everyMs: 500 },
    );
    await source.commit([{ type: 'Observation', id: 'of-p2', resource: undefined }]);
    const kept = await supersededRecords(headwater, 'Group');
    assert([...groups].every((version) => kept.has(version)));
    await checkAll();
  });

  async function checkAll(): Promise<void> {
    const rows = new Map(source.rows);
    for (const one of REQUESTS) await check(one, rows, false);
  }
});

type Exported = Extract<ReturnType<typeof answer>, { failed: undefined }>;

/** Undefined when it had to fail as it did. A failure does not tell its time: it has to fit one between the request and now. */
function expectedOf(
  { failed, transactionTime }: Outcome,
  rows: ReadonlyMap<string, Row>,
  one: Request,
  begun: number,
): Exported | undefined {
  if (failed === undefined) {
    const expected = answer(rows, Date.parse(transactionTime), one);
    if (expected.failed !== undefined) assert.fail(`it has to fail: ${expected.failed}`);
    return expected;
  }
  const fits = (time: number): boolean => answer(rows, time, one).failed === failed;
  for (let time = begun; time <= Date.now(); time++) if (fits(time)) return undefined;
  return assert.fail(`it does not have to fail: ${failed}`);
}

function timeOf({ transactionTime }: Outcome): number {
  return Date.parse(transactionTime);
}

function assertIs(full: Outcome, expected: Exported) {
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

function asFiles(lines: readonly string[]) {
  return lines.map((line, i) => ({ type: 'Patient', line, beginsFile: i === 0 }));
}
