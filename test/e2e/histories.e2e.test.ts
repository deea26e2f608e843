import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import {
  announcements,
  assertAnnouncedOnce,
  assertCancelledOnce,
  eventually,
  jobTablesText,
  rebuildTables,
  supersededRecords,
} from './afterwards.ts';
import { Headwater, MAX_RESOURCE_BYTES } from './headwater.ts';
import {
  exportsBeforeLoad,
  exportsSinceEverything,
  historyBeforeLoad,
  randomHistory,
  randomTransactions,
  TYPES,
} from './history.ts';
import type { Statement, Step } from './history.ts';
import { Ledger } from './ledger.ts';
import { Play } from './play.ts';

const HISTORIES = Number(process.env['HEADWATER_TEST_HISTORIES'] ?? 100);
const SEED = process.env['HEADWATER_TEST_SEED'];

const MANY = 1_000;
const putMany = (type: string, count: number): Statement => ({
  kind: 'put-many',
  type,
  count,
  nonce: 'compacted',
});
const committed = (statements: readonly Statement[]): Step => ({
  kind: 'transaction',
  statements,
  rollback: false,
});

/** Even seeds are played on a source with a text column, odd ones on one with jsonb. */
const seeds =
  SEED === undefined
    ? Array.from({ length: HISTORIES }, (_, i) => 2 * randomInt(2 ** 30) + (i % 2))
    : [Number(SEED)];

for (const [parity, column] of ['text', 'jsonb'].entries()) {
  const own = seeds.filter((seed) => seed % 2 === parity);
  if (own.length === 0) continue;
  describe(`what comes out of $export is what was committed (bodies as ${column})`, function () {
    this.timeout(120_000);
    let headwater: Headwater;
    let ledger: Ledger;
    let play: Play;

    before(async () => {
      headwater = await Headwater.make(column === 'jsonb');
      ledger = new Ledger(headwater.pool);
      await ledger.install(MAX_RESOURCE_BYTES);
      play = new Play(headwater, ledger);
      await play.steps(historyBeforeLoad(parity));
      await headwater.startServing();
      await ledger.orderKickOffs();
      const during = randomTransactions(parity, 40);
      await play.firstLoad(() => headwater.startCapture(), exportsBeforeLoad(), during);
    });

    after(async () => {
      console.log(
        play.completed.size,
        play.cancelled.size,
        JSON.stringify(play.tally),
        headwater.trouble.slice(-10).join('\n'),
      );
      await headwater.remove();
    });

    afterEach(function () {
      if (this.currentTest?.state === 'failed') console.log(headwater.trouble.slice(-20).join('\n'));
      headwater.trouble.length = 0;
    });

    for (const seed of own) {
      it(`history with HEADWATER_TEST_SEED=${seed}`, () => play.history(randomHistory(seed)));
    }

    it('stays so when compaction has taken old versions away', async () => {
      await headwater.compactEagerly(0);
      const many = committed([putMany('Observation', MANY)]);
      await play.steps([many, many]);
      await eventually(async () => {
        // Something for each partition begins a new segment: only closed ones are compacted.
        await play.steps([committed(TYPES.map((type) => putMany(type, 20)))]);
        return (await supersededRecords(headwater)) < MANY ? true : undefined;
      });
      await headwater.compactEagerly();
      await play.steps(exportsSinceEverything());
    });

    it('is announced to subscribers, each thing once', async () => {
      const { completed, cancelled } = play;
      const events = await announcements(headwater, new Set([...completed, ...cancelled]));
      assert.deepEqual([...events.keys()].sort(), [...completed, ...cancelled].sort());
      for (const jobId of completed) assertAnnouncedOnce(events.get(jobId) ?? []);
      for (const jobId of cancelled) assertCancelledOnce(events.get(jobId) ?? []);
    });

    it('has job tables that come out of the log again', async () => {
      const before = await jobTablesText(headwater);
      await rebuildTables(headwater);
      assert.equal(await jobTablesText(headwater), before);
    });
  });
}
