import assert from 'node:assert/strict';
import { sharedStack } from '../support/stack.ts';
import { Deployment } from './deployment.ts';
import { manifestOf, submit } from './exported.ts';
import { Fleet } from './fleet.ts';
import { SourceWriter } from './source-writer.ts';

/** 406 MB in one transaction. */
const MANY = 140_000;
/** 5 MB each. */
const HUGE = 60;
/**
 * Node collects late when a machine has memory to spare; with a heap as in a small container it shows what it needs, and
 * would end where it needed more.
 */
const SMALL_HEAP = '--max-old-space-size=128 --max-semi-space-size=8';
/** MiB. */
const CAPTURE_AT_MOST = 350;
const WORKER_AT_MOST = 400;

describe('memory', function () {
  this.timeout(480_000);
  let headwater: Deployment;
  let writer: SourceWriter;
  let fleet: Fleet;

  before(async function () {
    if (process.platform !== 'linux') this.skip(); // /proc tells the peak
    headwater = await Deployment.create(sharedStack());
    writer = await SourceWriter.create(headwater.databaseUrl);
    fleet = new Fleet(headwater, { NODE_OPTIONS: SMALL_HEAP });
    fleet.start();
  });

  after(async () => {
    await writer?.close();
    await headwater?.remove();
  });

  it(`capture stays under ${CAPTURE_AT_MOST} MiB over a transaction of 400 MB, and over resources of 5 MB`, async function () {
    await exported('Patient', 0);
    await writer.bulk('Observation', 'big-', MANY);
    await exported('Observation', MANY);
    const many = fleet.process('capture').peakMemory();
    await writer.bulk('Media', 'huge-', HUGE);
    await exported('Media', HUGE);
    const huge = fleet.process('capture').peakMemory();
    console.log(`      capture's peak: ${many} MiB, then ${huge} MiB`);
    assert.ok(huge < CAPTURE_AT_MOST, `${huge} MiB`);
  });

  it(`a worker stays under ${WORKER_AT_MOST} MiB over 400 MB of small resources and ${HUGE} of 5 MB`, () => {
    const peak = fleet.process('worker').peakMemory();
    console.log(`      the worker's peak: ${peak} MiB`);
    assert.ok(peak < WORKER_AT_MOST, `${peak} MiB`);
  });

  async function exported(type: string, count: number): Promise<void> {
    const manifest = await manifestOf(await submit({ server: headwater.server, types: [type] }));
    assert.equal(
      manifest.output.reduce((sum, file) => sum + (file.count ?? 0), 0),
      count,
    );
  }
});
