import assert from 'node:assert/strict';
import { HeadwaterError } from '../../src/base/errors.ts';
import type {
  NewRecord,
  Outcome,
  Publisher,
  QueuedRecord,
  QueueOptions,
  WorkQueue,
} from '../../src/log/log.ts';
import { uniqueName } from '../support/names.ts';

export interface MemberOptions {
  readonly topic: string;
  readonly group: string;
  /** Topic of the outcomes: one for each record, same key, the value is the member's name. */
  readonly outcomes: string;
  readonly name: string;
}

/** A member in another process. */
export interface Member {
  /** Keys in the order their handling began. */
  readonly handling: readonly string[];
  until(done: () => boolean): Promise<void>;
  /** Lets the handler of a record with the value `wait` go on. */
  finish(key: string): void;
  kill(): Promise<void>;
  freeze(): void;
  thaw(): void;
}

/** What the contract needs of an adapter. */
export interface QueueHarness {
  readonly publisher: Publisher;
  queue(): WorkQueue;
  newTopic(partitions: number, config?: Readonly<Record<string, string>>): Promise<string>;
  committed(topic: string): Promise<{ key: string; value: string; partition: number }[]>;
  /** Keys of what is committed to a partition, as soon as it is. */
  follow(topic: string, partition: number, signal: AbortSignal): AsyncIterable<string>;
  member(options: MemberOptions): Promise<Member>;
}

type Handle = (record: QueuedRecord, signal: AbortSignal) => Promise<Outcome>;

/** Someone in the group, in this process. */
class LocalMember {
  readonly handled: string[] = [];
  readonly assigned: Promise<void>;
  readonly ended: Promise<void>;
  readonly #stop = new AbortController();

  constructor(queue: WorkQueue, handle: Handle, options: Omit<QueueOptions, 'onAssigned'>) {
    const { promise, resolve }: PromiseWithResolvers<void> = Promise.withResolvers();
    this.assigned = promise;
    this.ended = queue.run(
      { ...options, onAssigned: resolve },
      async (record, signal) => {
        const outcome = await handle(record, signal);
        this.handled.push(record.key);
        return outcome;
      },
      this.#stop.signal,
    );
    this.ended.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }
}

/** Counts down what is handled anywhere in this process. */
function latch(count: number) {
  const { promise, resolve }: PromiseWithResolvers<void> = Promise.withResolvers();
  let left = count;
  return {
    promise,
    hit: () => {
      if (--left <= 0) resolve();
    },
  };
}

export function workQueueContract(harness: () => QueueHarness): void {
  let topic: string;
  let outcomes: string;
  let group: string;
  let members: LocalMember[];

  async function given(partitions: number): Promise<void> {
    topic = await harness().newTopic(partitions);
    outcomes = await harness().newTopic(2);
    group = uniqueName('group');
  }

  function join(handle: Handle, concurrency = 4, more: Partial<QueueOptions> = {}): LocalMember {
    const options = { topics: [topic], group, concurrency, ...more };
    const member = new LocalMember(harness().queue(), handle, options);
    members.push(member);
    return member;
  }

  function publish(...records: readonly Omit<NewRecord, 'topic' | 'value'>[]): Promise<void> {
    return harness().publisher.append(records.map((r) => ({ value: Buffer.from('go'), ...r, topic })));
  }

  function outcomeOf({ key }: QueuedRecord, by = 'here'): Outcome {
    return [{ topic: outcomes, key, value: Buffer.from(by) }];
  }

  async function outcomeKeys(): Promise<string[]> {
    return (await harness().committed(outcomes)).map(({ key }) => key).sort();
  }

  /** The committed outcomes, once there are as many as that. */
  async function outcomesWhen(count: number): Promise<string[]> {
    for (;;) {
      const keys = await outcomeKeys();
      if (keys.length >= count) return keys;
      await new Promise((resolve) => setTimeout(resolve, 50)); // a reader of what is committed has no event to wait for
    }
  }

  beforeEach(() => {
    members = [];
  });

  afterEach(async () => {
    await Promise.allSettled(members.map((member) => member.stop()));
  });

  it('handles earlier and later records, in order within a partition', async () => {
    await given(3);
    const keys = Array.from({ length: 90 }, (_, i) => String(i).padStart(2, '0'));
    const records = keys.map((key, i) => ({ key, partition: i % 3 }));
    await publish(...records.slice(0, 45));
    const all = latch(90);
    const seen: QueuedRecord[] = [];
    const member = join((record) => {
      seen.push(record);
      all.hit();
      return Promise.resolve(outcomeOf(record));
    });
    await member.assigned;
    await publish(...records.slice(45));
    await all.promise;
    for (const partition of [0, 1, 2]) {
      const own = seen.filter((record) => record.partition === partition);
      assert.deepEqual(
        own.map(({ key }) => key),
        keys.filter((_, i) => i % 3 === partition),
      );
      assert.deepEqual(
        own.map(({ offset }) => offset),
        own.map((_, i) => i),
      );
    }
    assert.deepEqual(await outcomesWhen(90), keys);
  });

  it('continues after the last committed record when it starts again', async () => {
    await given(1);
    await publish({ key: 'a' }, { key: 'b' });
    const first = join((record) => Promise.resolve(outcomeOf(record)));
    assert.deepEqual(await outcomesWhen(2), ['a', 'b']);
    await first.stop();
    await publish({ key: 'c' });
    const second = join((record) => Promise.resolve(outcomeOf(record)));
    assert.deepEqual(await outcomesWhen(3), ['a', 'b', 'c']);
    assert.deepEqual(second.handled, ['c']);
  });

  it('continues after a record without an outcome', async () => {
    await given(1);
    await publish({ key: 'a' }, { key: 'b' }, { key: 'c' });
    const done = latch(3);
    const first = join(() => {
      done.hit();
      return Promise.resolve([]);
    });
    await done.promise;
    await publish({ key: 'd' });
    await first.stop();
    const second = join((record) => Promise.resolve(outcomeOf(record)));
    const keys = await outcomesWhen(1);
    await second.stop();
    // The commit of `c` and the handling of `d` may have been cut off by the stop, the earlier ones not.
    assert.ok(!keys.includes('a') && !keys.includes('b'), keys.join());
    assert.deepEqual(
      await harness()
        .committed(outcomes)
        .then((all) => all.at(-1)?.key),
      'd',
    );
  });

  it('handles a record again for as long as a server is away, and other partitions meanwhile', async () => {
    await given(2);
    await publish({ key: 'a', partition: 0 }, { key: 'b', partition: 0 }, { key: 'other', partition: 1 });
    let away = true;
    const told: unknown[] = [];
    const asked = latch(3);
    const member = join(
      (record) => {
        if (record.key !== 'a' || !away) return Promise.resolve(outcomeOf(record));
        asked.hit();
        return Promise.reject(new HeadwaterError('unavailable', 'the store is away'));
      },
      1, // a slot for both: who waits holds none
      { onTrouble: (error) => told.push(error) },
    );
    await asked.promise;
    assert.deepEqual(await outcomesWhen(1), ['other']);
    assert.ok(told.length >= 3);
    away = false;
    assert.deepEqual(await outcomesWhen(3), ['a', 'b', 'other']);
    assert.deepEqual(member.handled.filter((key) => key === 'a').length, 1);
  });

  it('gives up a record that cannot be handled, and goes on with the next', async () => {
    await given(1);
    await publish({ key: 'corrupt' }, { key: 'bug' }, { key: 'c' });
    const attempts = new Map<string, number>();
    const givenUp: string[] = [];
    join(
      (record) => {
        attempts.set(record.key, (attempts.get(record.key) ?? 0) + 1);
        if (record.key === 'corrupt') return Promise.reject(new HeadwaterError('corrupt', 'not readable'));
        if (record.key === 'bug') return Promise.reject(new TypeError('cannot do this'));
        return Promise.resolve(outcomeOf(record));
      },
      4,
      {
        giveUp: (record) => {
          givenUp.push(record.key);
          return record.key === 'bug' ? [] : outcomeOf(record, 'given up');
        },
      },
    );
    assert.deepEqual(await outcomesWhen(2), ['c', 'corrupt']);
    assert.deepEqual(givenUp, ['corrupt', 'bug']);
    assert.equal(attempts.get('corrupt'), 1, 'what is certain is not tried again');
    assert.ok((attempts.get('bug') ?? 0) > 1, 'what may be a coincidence is');
  });

  it('gives up a record whose outcome Kafka refuses for good', async () => {
    await given(1);
    outcomes = await harness().newTopic(1, { 'max.message.bytes': '1000' });
    await publish({ key: 'large' }, { key: 'b' });
    const large = Buffer.alloc(2_000, 'x');
    join(
      (record) =>
        Promise.resolve(
          record.key === 'large' ? [{ topic: outcomes, key: 'large', value: large }] : outcomeOf(record),
        ),
      4,
      { giveUp: (record) => outcomeOf(record, 'too large') },
    );
    assert.deepEqual(await outcomesWhen(2), ['b', 'large']);
    const found = await harness().committed(outcomes);
    assert.equal(found.find(({ key }) => key === 'large')?.value, 'too large');
  });

  it('stops when a person must change something, and handles the record again later', async () => {
    await given(1);
    await publish({ key: 'a' });
    const refused = new HeadwaterError('refused', 'grant this user Read');
    const failing = join(() => Promise.reject(refused), 4, { giveUp: () => assert.fail() });
    await assert.rejects(failing.ended, refused);
    join((record) => Promise.resolve(outcomeOf(record)));
    assert.deepEqual(await outcomesWhen(1), ['a']);
  });

  it('stops with the error of a handler, and handles the record again later', async () => {
    await given(1);
    await publish({ key: 'a' }, { key: 'bad' }, { key: 'c' });
    const failing = join((record) => {
      if (record.key === 'bad') return Promise.reject(new TypeError('cannot do this'));
      return Promise.resolve(outcomeOf(record));
    });
    await assert.rejects(failing.ended, { name: 'TypeError', message: 'cannot do this' });
    assert.deepEqual(await outcomeKeys(), ['a']);
    const next = join((record) => Promise.resolve(outcomeOf(record)));
    assert.deepEqual(await outcomesWhen(3), ['a', 'bad', 'c']);
    assert.deepEqual(next.handled, ['bad', 'c']);
  });

  it('stops promptly, also while a handler works, and commits nothing of it', async () => {
    await given(1);
    await publish({ key: 'a' });
    const begun = latch(1);
    const member = join(async (record, signal) => {
      begun.hit();
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reject(signal.reason as Error);
        });
      });
      return outcomeOf(record);
    });
    await begun.promise;
    const start = performance.now();
    await member.stop();
    assert.ok(performance.now() - start < 2_000, `took ${performance.now() - start} ms`);
    assert.deepEqual(await outcomeKeys(), []);
    join((record) => Promise.resolve(outcomeOf(record)));
    assert.deepEqual(await outcomesWhen(1), ['a']);
  });

  it('stops at any moment of its start, and leaves no member that the group waits for', async () => {
    await given(2);
    for (const ms of [0, 1, 5, 10, 20, 25, 30, 35, 40, 60, 100, 200]) {
      const member = join(() => Promise.resolve([]));
      await new Promise((resolve) => setTimeout(resolve, ms)); // the moment is what is varied
      const start = performance.now();
      await member.stop();
      assert.ok(performance.now() - start < 2_000, `after ${ms} ms it took ${performance.now() - start} ms`);
    }
  });

  it('handles as many partitions at a time as allowed, and one slow record holds up no other partition', async () => {
    await given(4);
    const release: PromiseWithResolvers<void> = Promise.withResolvers();
    let [busy, most] = [0, 0];
    const quick = latch(20);
    const member = join(async (record) => {
      most = Math.max(most, ++busy);
      if (record.key === 'slow') await release.promise;
      else quick.hit();
      busy--;
      return outcomeOf(record);
    }, 2);
    await member.assigned;
    await publish({ key: 'slow', partition: 0 });
    for (let i = 0; i < 20; i++) await publish({ key: `q${i}`, partition: 1 + (i % 3) });
    await quick.promise;
    assert.ok(most <= 2, `${most} at a time`);
    release.resolve();
    await outcomesWhen(21);
  });

  it('shares partitions between members, each record to one of them', async () => {
    await given(4);
    const both = [0, 1].map((i) => join((record) => Promise.resolve(outcomeOf(record, String(i)))));
    await Promise.all(both.map((member) => member.assigned));
    const keys: string[] = [];
    while (!both.every(({ handled }) => handled.length > 0)) {
      const key = `k${String(keys.length).padStart(4, '0')}`;
      keys.push(key);
      await publish({ key, partition: keys.length % 4 });
    }
    assert.deepEqual(await outcomesWhen(keys.length), keys);
  });

  it('leaves a long handler alone when members come and go', async () => {
    await given(2);
    await publish({ key: 'long', partition: 0 });
    const begun = latch(1);
    const release: PromiseWithResolvers<void> = Promise.withResolvers();
    let interrupted = false;
    const first = join(async (record, signal) => {
      signal.addEventListener('abort', () => (interrupted = true));
      if (record.key === 'long') {
        begun.hit();
        await release.promise;
      }
      return outcomeOf(record);
    });
    await begun.promise;
    const second = join((record) => Promise.resolve(outcomeOf(record)));
    await second.assigned;
    await publish({ key: 'other', partition: 1 });
    await outcomesWhen(1);
    await second.stop();
    assert.equal(interrupted, false);
    release.resolve();
    assert.deepEqual(await outcomesWhen(2), ['long', 'other']);
    assert.deepEqual(
      first.handled.filter((key) => key === 'long'),
      ['long'],
    );
  });

  it('keeps a member whose handler works longer than a dead member is waited for', async () => {
    await given(1);
    await publish({ key: 'long' });
    const member = join(async (record) => {
      await new Promise((resolve) => setTimeout(resolve, 12_000)); // longer than the session timeout
      return outcomeOf(record);
    });
    assert.deepEqual(await outcomesWhen(1), ['long']);
    assert.deepEqual(member.handled, ['long']);
  });

  it('replaces a member that was killed while it handled a record', async () => {
    await given(2);
    const options = { topic, group, outcomes, name: 'killed' };
    const killed = await harness().member(options);
    await harness().publisher.append([{ topic, key: 'a', partition: 0, value: Buffer.from('wait') }]);
    await killed.until(() => killed.handling.includes('a'));
    await killed.kill();
    join((record) => Promise.resolve(outcomeOf(record, 'successor')));
    assert.deepEqual(await outcomesWhen(1), ['a']);
    assert.equal((await harness().committed(outcomes))[0]?.value, 'successor');
  });

  it('commits nothing of a member that froze, was replaced, and woke up', async () => {
    await given(1);
    const frozen = await harness().member({ topic, group, outcomes, name: 'frozen' });
    await harness().publisher.append([{ topic, key: 'a', value: Buffer.from('wait') }]);
    await frozen.until(() => frozen.handling.includes('a'));
    frozen.freeze();
    const successor = join((record) => Promise.resolve(outcomeOf(record, 'successor')));
    assert.deepEqual(await outcomesWhen(1), ['a']);
    frozen.thaw();
    frozen.finish('a');
    // Its attempt is over when it takes part in the group again and handles something new.
    await successor.stop();
    await publish({ key: 'b' });
    await frozen.until(() => frozen.handling.includes('b'));
    assert.deepEqual(await outcomesWhen(2), ['a', 'b']);
    await frozen.kill();
  });

  it('gives every record one outcome however often members are killed at any moment', async () => {
    await given(1);
    const count = 40;
    await publish(...Array.from({ length: count }, (_, i) => ({ key: `k${String(i).padStart(2, '0')}` })));
    for (let round = 1; round <= 4; round++) {
      const member = await harness().member({ topic, group, outcomes, name: `m${round}` });
      await member.until(() => member.handling.length >= 5);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 15)); // anywhere in handling and commit
      await member.kill();
    }
    join((record) => Promise.resolve(outcomeOf(record)));
    const keys = await outcomesWhen(count);
    assert.deepEqual(
      keys,
      Array.from({ length: count }, (_, i) => `k${String(i).padStart(2, '0')}`),
    );
  });

  it('handles and commits a record that comes to an idle queue within a moment', async () => {
    await given(4);
    const member = join((record) => Promise.resolve(outcomeOf(record)));
    await member.assigned;
    const stop = new AbortController();
    const committed = new Map<string, PromiseWithResolvers<void>>();
    const seen = (key: string): PromiseWithResolvers<void> => {
      const known: PromiseWithResolvers<void> = committed.get(key) ?? Promise.withResolvers();
      committed.set(key, known);
      return known;
    };
    const following = [0, 1].map(async (partition) => {
      for await (const key of harness().follow(outcomes, partition, stop.signal)) seen(key).resolve();
    });
    await publish({ key: 'first' });
    await seen('first').promise;
    const times: number[] = [];
    for (let i = 0; i < 15; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100)); // to be idle is the point
      const start = performance.now();
      await publish({ key: `k${i}` });
      await seen(`k${i}`).promise;
      times.push(performance.now() - start);
    }
    stop.abort();
    await Promise.allSettled(following);
    times.sort((a, b) => a - b);
    assert.ok(
      (times[7] ?? Infinity) < 60,
      `median ${times[7]} ms from publishing to being read as committed`,
    );
  });
}
