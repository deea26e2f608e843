import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { CaptureLog } from '../../src/capture/resource-log.ts';
import { LogSender } from '../../src/capture/log-sender.ts';

const TIMEOUT = 2_000;
const quiet = { ready: () => undefined };

/** Holds no records, only what a sender decides by. Tells what was done, in order. */
class TimedLog implements CaptureLog {
  readonly transactionTimeoutMs = TIMEOUT;
  pendingBytes = 0;
  openMs = 0;
  readonly done: string[] = [];
  readonly committed = Promise.withResolvers<undefined>();

  declare(): void {}
  listen(): void {}
  declared(): boolean {
    return true;
  }
  ends(): readonly number[] {
    return [0];
  }
  add(): void {}
  async close(): Promise<void> {}

  async flush(): Promise<void> {
    this.done.push('flush begins');
    await delay(1);
    this.pendingBytes = 0;
    this.openMs = Math.max(1, this.openMs);
    this.done.push('flush ends');
  }

  async commit(): Promise<void> {
    this.done.push('commit begins');
    await delay(1);
    this.pendingBytes = this.openMs = 0;
    this.done.push('commit ends');
    this.committed.resolve(undefined);
  }
}

describe('a sender of records', () => {
  it('sends nothing while little has gathered and the transaction is young', async () => {
    const log = new TimedLog();
    log.pendingBytes = 1_000;
    log.openMs = 100;
    const sender = new LogSender(log, quiet);
    await sender.sendWhenDue();
    await sender.idle();
    assert.deepEqual(log.done, []);
  });

  it('commits a transaction that has become old, however little it holds', async () => {
    const log = new TimedLog();
    log.pendingBytes = 1;
    log.openMs = TIMEOUT / 2;
    const sender = new LogSender(log, quiet);
    await sender.sendWhenDue();
    await sender.idle();
    assert.deepEqual(log.done, ['commit begins', 'commit ends']);
  });

  it('commits a transaction that becomes old during a wait', async () => {
    const log = new TimedLog();
    const sender = new LogSender(log, quiet);
    log.openMs = TIMEOUT / 2;
    await sender.during(log.committed.promise); // ends only when it was committed
    assert.deepEqual(log.done, ['commit begins', 'commit ends']);
  });

  it('commits a part while a source of batches stalls, and hands over all batches', async () => {
    const log = new TimedLog();
    const sender = new LogSender(log, quiet);
    async function* stalling(): AsyncIterable<number> {
      yield 1;
      log.openMs = TIMEOUT / 2;
      await log.committed.promise;
      yield 2;
    }
    const all: number[] = [];
    for await (const batch of sender.each(stalling())) all.push(batch);
    assert.deepEqual(all, [1, 2]);
    assert.deepEqual(log.done, ['commit begins', 'commit ends']);
  });

  it('never has two flushes or commits under way', async () => {
    const log = new TimedLog();
    const sender = new LogSender(log, quiet);
    await Promise.all([
      sender.commit(() => log.commit()),
      sender.flush(),
      sender.commit(() => log.commit()),
      sender.flush(),
    ]);
    await sender.idle();
    const pairs = log.done.map((what) => what.split(' ')[0]);
    assert.deepEqual(
      log.done,
      pairs.map((what, i) => `${String(what)} ${i % 2 === 0 ? 'begins' : 'ends'}`),
    );
  });

  it('reports a commit that failed during a wait', async () => {
    const log = new TimedLog();
    const failure = new Error('no broker');
    const sender = new LogSender(log, quiet, () => Promise.reject(failure));
    log.openMs = TIMEOUT / 2;
    const failed = new Promise((resolve) =>
      sender.broken.addEventListener('abort', () => resolve(sender.broken.reason)),
    );
    assert.equal(await sender.during(failed), failure);
    await assert.rejects(sender.idle(), failure);
  });
});
