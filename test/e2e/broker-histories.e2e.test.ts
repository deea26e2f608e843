import { BROKER_FAULTS, play as playFault } from '../faults/broker-faults.ts';
import { inSync } from '../support/broker-moves.ts';
import { Brokers } from '../support/brokers.ts';
import { assertAllAnnounced, assertTablesEqualRebuild } from './afterwards.ts';
import { Headwater, MAX_RESOURCE_BYTES } from './headwater.ts';
import { exportsBeforeLoad, historyBeforeLoad, randomHistory, randomTransactions } from './history.ts';
import { historySeeds } from './history-seeds.ts';
import { Ledger } from './ledger.ts';
import { Play } from './play.ts';
import { Random } from './random.ts';

const HISTORIES = Number(process.env['HEADWATER_TEST_BROKER_HISTORIES'] ?? 3);
const seeds = historySeeds(HISTORIES);

describe('$export returns exactly what was committed while brokers of a cluster fail', function () {
  this.timeout(600_000);
  const faults = new Map<string, number>();
  let brokers: Brokers;
  let headwater: Headwater;
  let ledger: Ledger;
  let play: Play;

  before(async () => {
    brokers = await Brokers.start();
    headwater = await Headwater.make(false, brokers.addresses);
    ledger = new Ledger(headwater.pool);
    await ledger.install(MAX_RESOURCE_BYTES);
    play = new Play(headwater, ledger);
    await play.steps(historyBeforeLoad(0));
    await headwater.startServing();
    await ledger.orderKickOffs(headwater.tables);
    await play.firstLoad(() => headwater.startCapture(), exportsBeforeLoad(), randomTransactions(0, 20));
  });

  after(async () => {
    const counts = [...faults].map(([fault, count]) => `${count} × ${fault}`);
    const { completed, cancelled, tally } = play;
    console.log(
      `    ${completed.size} exports, ${cancelled.size} cancelled, ${JSON.stringify(tally)}: ${counts.join(', ')}`,
    );
    await headwater?.remove();
    await brokers?.stop();
  });

  afterEach(function () {
    if (this.currentTest?.state === 'failed') console.log(headwater.trouble.slice(-20).join('\n'));
    headwater.trouble.length = 0;
  });

  for (const seed of seeds) {
    it(`history with HEADWATER_TEST_SEED=${seed}`, async () => {
      const random = new Random(seed);
      const fault = random.pick(BROKER_FAULTS);
      faults.set(fault, (faults.get(fault) ?? 0) + 1);
      let going = true;
      const failing = playFault(fault, { brokers, random, prefix: headwater.settings.topicPrefix }).finally(
        () => (going = false),
      );
      // One history after the other, until the fault is over.
      const histories = async (): Promise<void> => {
        for (let n = 0; n === 0 || going; n++) await play.history(randomHistory(seed + n));
      };
      // Both, also if one fails: a fault that goes on would fail the next test.
      for (const result of await Promise.allSettled([histories(), failing]))
        if (result.status === 'rejected') throw result.reason;
    });
  }

  it('announces each event to subscribers once', async () => {
    await inSync(brokers);
    await assertAllAnnounced(headwater, play);
  });

  it('has job tables that equal a rebuild from the log', () => assertTablesEqualRebuild(headwater));
});
