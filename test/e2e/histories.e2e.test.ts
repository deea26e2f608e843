import assert from 'node:assert/strict';
import { assertAllAnnounced, assertTablesEqualRebuild, supersededRecords } from './afterwards.ts';
import { until } from '../support/until.ts';
import { Headwater, MAX_RESOURCE_BYTES } from './headwater.ts';
import {
  exportsBeforeLoad,
  exportsSinceEverything,
  FULL_EXPORT,
  historyBeforeLoad,
  randomHistory,
  randomTransactions,
  TYPES,
} from './history.ts';
import type { BodySpec, Statement, Step } from './history.ts';
import { historySeeds } from './history-seeds.ts';
import { Ledger } from './ledger.ts';
import { kickOff, manifestOnceComplete, receive } from './one-export.ts';
import { Play } from './play.ts';

const HISTORIES = Number(process.env['HEADWATER_TEST_HISTORIES'] ?? 40);

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
const seeds = historySeeds(HISTORIES);

for (const [parity, column] of ['text', 'jsonb'].entries()) {
  const own = seeds.filter((seed) => seed % 2 === parity);
  if (own.length === 0) continue;
  describe(`$export returns exactly what was committed (bodies as ${column})`, function () {
    this.timeout(240_000);
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
      await ledger.orderKickOffs(headwater.tables);
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

    it('exports large bodies that updates of other columns did not touch, also after a mark of deletion', async () => {
      const key = { type: 'Condition', id: 'left-alone' };
      const body: BodySpec = { nonce: 'left-alone', filler: 40_000, flavour: 'plain' };
      const statements: readonly Statement[] = [
        { kind: 'put', ...key, body },
        { kind: 'touch', ...key },
        { kind: 'mark', ...key, deleted: true },
        { kind: 'touch', ...key },
        { kind: 'mark', ...key, deleted: false },
        { kind: 'move', ...key, to: { ...key, id: 'moved-alone' } },
      ];
      await play.steps(statements.flatMap((one) => [committed([one]), FULL_EXPORT]));
    });

    it('names the resources that it cannot export, and exports the others', async () => {
      const put = (id: string, filler: number, flavour: BodySpec['flavour']): Statement => {
        return { kind: 'put', type: 'Flag', id, body: { nonce: id, filler, flavour } };
      };
      const bad = [
        put('too-large', MAX_RESOURCE_BYTES, 'plain'),
        put('no-json', 0, 'not-json'),
        put('empty', 0, 'none'),
      ];
      await play.steps([committed([...bad, put('good', 0, 'plain')])]);
      const { jobId, statusUrl } = await kickOff(headwater.base, {
        types: ['Flag'],
        since: undefined,
        gzip: false,
        post: false,
      });
      play.completed.add(jobId);
      const received = await receive(await manifestOnceComplete(statusUrl), false);
      assert.deepEqual([...received.errors].sort(), ['Flag/empty', 'Flag/no-json', 'Flag/too-large']);
      assert.equal(received.output.length, 1);
    });

    it('stays exact after compaction of old versions', async () => {
      const type = 'Basic'; // of small records only, so that it is soon read
      const many = committed([putMany(type, MANY)]);
      await play.steps([many, many, { ...FULL_EXPORT, wait: true }]); // then capture has written them
      const old = await supersededRecords(headwater, type);
      assert(old.size >= MANY, 'there is something to take away');
      await headwater.compactEagerly(0);
      await until(
        'compaction to remove old versions',
        async () => {
          // Something for each partition begins a new segment: only closed ones are compacted.
          await play.steps([committed([type, ...TYPES].map((one) => putMany(one, 20)))]);
          const now = await supersededRecords(headwater, type);
          return ![...old].some((version) => now.has(version));
        },
        { everyMs: 500 },
      );
      await headwater.compactEagerly();
      await play.steps(exportsSinceEverything());
    });

    it('announces each event to subscribers once', () => assertAllAnnounced(headwater, play));

    it('has job tables that equal a rebuild from the log', () => assertTablesEqualRebuild(headwater));
  });
}
