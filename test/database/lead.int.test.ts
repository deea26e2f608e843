import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { Lead } from '../../src/database/lead.ts';
import type { LeadOptions } from '../../src/database/lead.ts';
import { openSession } from '../../src/database/session.ts';
import { uniqueName } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const LEASE = { beat: 100, length: 3_000 };
const NEVER = 1_000_000;

describe('the lead of capture or projector', () => {
  let name: string;
  let stop: AbortController;
  let held: Lead[];
  const acquire = async (options: Partial<LeadOptions> = {}): Promise<Lead> => {
    const lead = await Lead.acquire(
      { url: sharedStack().postgresUrl, name, lease: LEASE, ...options },
      stop.signal,
    );
    held.push(lead);
    return lead;
  };

  beforeEach(() => {
    name = uniqueName('lead');
    stop = new AbortController();
    held = [];
  });
  afterEach(async () => {
    stop.abort();
    await Promise.all(held.map((lead) => lead.release()));
  });

  it('goes to one at a time, and to the next when it is released', async () => {
    const first = await acquire();
    const waiting = Promise.withResolvers<undefined>();
    const second = acquire({ onWaiting: () => waiting.resolve(undefined) });
    await waiting.promise;
    await first.release();
    assert.equal(
      await (await second).transaction((client) => client.query('SELECT 1')).then(() => 'works'),
      'works',
    );
  });

  it('stays with a leader that lives, idle or in a transaction', async () => {
    const first = await acquire();
    acquire().catch(() => undefined);
    await delay(LEASE.length * 1.4);
    assert.equal(first.lost.aborted, false);
    await first.transaction(async (client) => {
      await client.query(`SELECT pg_sleep(${String((LEASE.length * 1.4) / 1_000)})`);
    });
    assert.equal(first.lost.aborted, false);
    assert.equal(held.length, 1);
  });

  it('is taken from a silent leader, whose transaction is rolled back', async () => {
    const first = await acquire({ lease: { beat: NEVER, length: NEVER } });
    const began = Promise.withResolvers<undefined>();
    const transaction = first.transaction(async (client) => {
      await client.query('SELECT 1');
      began.resolve(undefined);
      await once(first.lost, 'abort'); // as a process that does not run
      await client.query('SELECT 1');
    });
    await began.promise;
    const silent: number[] = [];
    const second = await acquire({
      lease: { beat: 100, length: 300 },
      onSilent: ({ pid }) => silent.push(pid),
    });
    await assert.rejects(transaction, /connection error|terminated/);
    assert.equal(first.lost.aborted, true);
    assert.ok(silent.length > 0);
    await second.transaction((client) => client.query('SELECT 1'));
  });

  it('is taken from a process that is frozen, which finds that out when it wakes', async () => {
    const holder = fork(join(import.meta.dirname, 'lead-holder.ts'), [sharedStack().postgresUrl, name], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    try {
      const lines = createInterface({ input: holder.stdout ?? assert.fail() })[Symbol.asyncIterator]();
      assert.equal((await lines.next()).value, 'leads');
      holder.kill('SIGSTOP');
      await acquire({ lease: { beat: 100, length: 1_000 } });
      holder.kill('SIGCONT');
      assert.equal((await lines.next()).value, 'lost');
    } finally {
      holder.kill('SIGKILL');
    }
  });

  it('is taken at once by the one that takes over', async () => {
    const first = await acquire();
    const second = await acquire({ takeOver: true });
    if (!first.lost.aborted) await once(first.lost, 'abort');
    assert.equal(second.lost.aborted, false);
  });

  it('is taken from one that comes back at once, every time', async () => {
    let comebacks = 0;
    const holding = (async () => {
      while (!stop.signal.aborted) {
        const lead = await acquire({ lease: { beat: 100, length: 60_000 } });
        comebacks++;
        if (!lead.lost.aborted) await once(lead.lost, 'abort', { signal: stop.signal });
      }
    })();
    holding.catch(() => undefined); // it ends with the signal
    for (let n = 1; n <= 10; n++) {
      while (comebacks < n) await delay(5);
      const taken = await acquire({ takeOver: true });
      assert.equal(comebacks, n, 'the one that comes back waits');
      await taken.release();
    }
  });

  it('leaves no session behind when the signal fires while it takes over', async () => {
    const first = await acquire();
    const started = Date.now();
    const second = acquire({ takeOver: true });
    stop.abort();
    await assert.rejects(second, { name: 'AbortError' });
    assert(Date.now() - started < 5_000);
    assert.equal(first.lost.aborted, false);
    const observer = await openSession(sharedStack().postgresUrl, 'catalog');
    await until('no session to wait', async () => {
      const text = 'SELECT FROM pg_stat_activity WHERE application_name LIKE $1';
      const { rows } = await observer.query(text, [`${name}%`]);
      return rows.length === 1; // the holder's
    });
    await observer.end();
  });

  it('is not waited for when the signal fires', async () => {
    await acquire();
    const second = acquire({ onWaiting: () => stop.abort() });
    await assert.rejects(second, { name: 'AbortError' });
  });
});
