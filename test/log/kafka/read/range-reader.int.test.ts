import assert from 'node:assert/strict';
import { HeadwaterError } from '../../../../src/base/errors.ts';
import { offset } from '../../../../src/base/positions.ts';
import { CaptureAppender } from '../../../../src/log/kafka/append/capture-appender.ts';
import { uniqueName } from '../../../support/names.ts';
import { LogFixture } from '../log-fixture.ts';

const PARTITIONS = 2;

describe('the range reader and the capture appender', () => {
  let log: LogFixture;
  let topic: string;
  let id: string;
  const open = async (): Promise<CaptureAppender> => {
    const appender = await CaptureAppender.open({ brokers: log.brokers, clientId: 'test' }, id);
    appender.declare(topic, await log.reader.ends(topic));
    return appender;
  };
  const add = (appender: CaptureAppender, key: string, timestamp = 1): void =>
    appender.add(topic, { timestamp, key: Buffer.from(key), value: Buffer.from(`value of ${key}`) });
  let signal: AbortSignal;
  /** What a reader sees up to where the appender is: reading waits until that is decided. */
  const readUpTo = async (appender: CaptureAppender, from: readonly number[] = [0, 0]): Promise<string[]> => {
    const found: string[] = [];
    for (const [partition, to] of appender.ends(topic).entries()) {
      const range = { topic, partition, from: offset(from[partition] ?? 0), to: offset(to) };
      for await (const records of log.reader.read(range, signal))
        found.push(...records.map(({ key }) => key.toString()));
    }
    return found.sort();
  };

  beforeEach(async () => {
    signal = AbortSignal.timeout(50_000);
    log = new LogFixture();
    topic = await log.newTopic(PARTITIONS);
    id = uniqueName('capture');
  });
  afterEach(() => log.close());

  it('show what was committed, and only that', async () => {
    const first = await open();
    for (const key of ['a', 'b', 'c']) add(first, key);
    await first.commit();
    for (const key of ['d', 'e', 'f']) add(first, key);
    await first.flush(); // stored, never committed
    const second = await open();
    for (const key of ['g', 'h', 'i']) add(second, key);
    await second.commit();
    assert.deepEqual(await readUpTo(second), ['a', 'b', 'c', 'g', 'h', 'i']);
    await Promise.all([first.close(), second.close()]);
  });

  it('leave out aborted records backward too, and in blocks that begin inside an aborted transaction', async () => {
    const expected: string[] = [];
    for (let round = 0; round < 6; round++) {
      const appender = await open();
      for (let i = 0; i < 20; i++) {
        const key = `${round}-${i}`;
        add(appender, key);
        if (round % 2 === 0) expected.push(key);
        if (i % 5 === 4) await appender.flush();
      }
      if (round % 2 === 0) await appender.commit();
      await appender.close();
    }
    const last = await open(); // decides the last abort
    await last.close();
    const ends = await log.reader.ends(topic);
    for (const cut of [0, 3, 17, 40]) {
      const seen: string[] = [];
      for (const [partition, to] of ends.entries()) {
        const offsets: number[] = [];
        for await (const batch of log.reader.readBackward(
          { topic, partition, from: offset(cut), to },
          signal,
        )) {
          for (let i = batch.end - 1; i >= batch.begin; i--) {
            seen.push(batch.keyText(i));
            offsets.push(batch.offset(i));
          }
        }
        assert.deepEqual(
          offsets,
          [...offsets].sort((a, b) => b - a),
          'newest first',
        );
        assert.ok(offsets.every((at) => at >= cut));
      }
      if (cut === 0) assert.deepEqual(seen.sort(), expected.sort());
      else assert.ok(seen.every((key) => expected.includes(key)));
    }
  });

  it('commit what was added while a commit was under way, with the next one', async () => {
    const appender = await open();
    for (let round = 0; round < 20; round++) {
      add(appender, `${round}-a`);
      const committing = appender.commit();
      add(appender, `${round}-b`);
      await committing;
      await appender.commit();
    }
    assert.equal((await readUpTo(appender)).length, 40);
    await appender.close();
  });

  it('fence the writer before', async () => {
    const first = await open();
    add(first, 'a');
    await first.commit();
    const second = await open();
    add(first, 'b');
    await assert.rejects(
      first.commit(),
      (error) => error instanceof HeadwaterError && error.code === 'fenced',
    );
    add(second, 'c');
    await second.commit();
    assert.deepEqual(await readUpTo(second), ['a', 'c']);
    await Promise.all([first.close(), second.close()]);
  });

  it('agree on where the partitions end', async () => {
    const appender = await open();
    for (let i = 0; i < 50; i++) add(appender, `k${i}`);
    await appender.flush();
    const flushed = appender.ends(topic);
    assert.equal(
      flushed.reduce((sum, end) => sum + end, 0),
      50,
    );
    await appender.commit();
    assert.equal((await readUpTo(appender)).length, 50);
    const after = await open(); // the one before is decided then
    assert.deepEqual(
      after.ends(topic),
      flushed.map((end) => end + 1),
      'a marker more',
    );
    await after.close();
    await appender.close();
  });

  it('find offsets by timestamp: nothing as new lies before them', async () => {
    const appender = await open();
    for (let i = 0; i < 300; i++) {
      add(appender, `k${i}`, 1_000 + i);
      if (i % 50 === 49) await appender.commit();
    }
    await readUpTo(appender);
    for (const timestamp of [0, 1_000, 1_001, 1_049, 1_050, 1_155, 1_299, 1_300]) {
      const found = await readUpTo(appender, await log.reader.offsetsAt(topic, timestamp));
      const wanted = Array.from({ length: 1_300 - Math.max(1_000, timestamp) }, (_, i) => `k${299 - i}`);
      assert.deepEqual(
        wanted.filter((key) => !found.includes(key)),
        [],
        `from ${timestamp}`,
      );
      if (timestamp === 1_050) assert.equal(found.length, 250, 'and what is older is not all read again');
    }
    await appender.close();
  });

  it('hand over what is appended later', async () => {
    const stop = new AbortController();
    const seen: string[] = [];
    const followed = Array.from({ length: PARTITIONS }, async (_, partition) => {
      for await (const records of log.reader.follow({ topic, partition, offset: offset(0) }, stop.signal)) {
        seen.push(...records.map(({ key }) => key.toString()));
        if (seen.length === 40) stop.abort();
      }
    });
    const appender = await open();
    for (let i = 0; i < 40; i++) {
      add(appender, `k${i}`);
      if (i % 10 === 9) await appender.commit();
    }
    await Promise.all(followed);
    assert.equal(new Set(seen).size, 40);
    await appender.close();
  });

  it('take records of many megabytes', async () => {
    const appender = await open();
    for (let i = 0; i < 3; i++)
      appender.add(topic, { timestamp: 1, key: Buffer.from(`k${i}`), value: Buffer.alloc(900_000, i) });
    await appender.commit();
    assert.deepEqual(await readUpTo(appender), ['k0', 'k1', 'k2']);
    await appender.close();
  });

  it('refuse to learn of a topic twice', async () => {
    const appender = await open();
    assert.throws(() => appender.declare(topic, [0, 0]), HeadwaterError);
    await appender.close();
  });
});
