import assert from 'node:assert/strict';
import { lsn, offset, stamp } from '../../src/base/positions.ts';
import { ChangeWriter } from '../../src/capture/change-writer.ts';
import type { ChangeDestination } from '../../src/capture/change-writer.ts';
import type { ResourceChange } from '../../src/events/resource-change.ts';
import { CaptureAppender } from '../../src/log/kafka/append/capture-appender.ts';
import { LogFixture } from '../log/kafka/log-fixture.ts';
import { uniqueName } from '../support/names.ts';

describe('records that Kafka refuses', () => {
  it('are stored without their bodies, named, and stop nothing', async () => {
    const log = new LogFixture();
    const topic = await log.newTopic(1, { 'max.message.bytes': '20000' });
    const type = 'Patient';
    const named: string[] = [];
    const appender = await CaptureAppender.open(
      { brokers: log.brokers, clientId: 'test' },
      uniqueName('capture'),
    );
    const encode = (change: ResourceChange): Buffer =>
      Buffer.from(
        JSON.stringify({ ...change, lsn: '0', body: change.body && Buffer.from(change.body).toString() }),
      );
    const resources = {
      topics: {
        topicOf: () => topic,
        zones: 'zones',
        ensure: () => Promise.resolve({ id: '', starts: [0], ends: [offset(0)] }),
      },
      changes: {
        encode,
        decode: (value: Buffer) => {
          const change = JSON.parse(value.toString()) as Omit<ResourceChange, 'body'> & {
            body: string | null;
          };
          return { ...change, body: change.body === null ? null : Buffer.from(change.body) };
        },
      },
      encodeZone: () => Buffer.alloc(0),
    };
    const metrics = { change() {}, problem() {}, reached() {} };
    const problems = { report: (key: string) => named.push(key) };
    const writer = new ChangeWriter(
      { log: appender, resources, metrics, problems, clock: () => 1 } as unknown as ChangeDestination,
      {
        totals: [],
        topicStates: [],
        epoch: { id: 'e', began: stamp(0) },
        reloaded: undefined,
        writesZones: false,
      },
    );
    await writer.prepare(type);
    for (const [id, body] of [
      ['a', 'x'],
      ['large', randomText(40_000)],
      ['b', 'y'],
    ] as const) {
      const change = {
        operation: 'create',
        stamp: stamp(1),
        lsn: lsn(0n),
        versionId: null,
        lastUpdated: null,
        oversizeBytes: null,
        problem: null,
        patients: [],
        leftPatients: [],
        body: Buffer.from(body),
      } as const;
      writer.write({ type, id, change, problem: undefined });
    }
    await appender.commit();
    const [to = 0] = appender.ends(topic);
    const stored: string[] = [];
    const range = { topic, partition: 0, from: offset(0), to: offset(to) };
    for await (const records of log.reader.read(range, AbortSignal.timeout(50_000))) {
      for (const { key, value } of records) {
        const { body, problem } = JSON.parse(value.toString()) as {
          body: string | null;
          problem: string | null;
        };
        stored.push(`${key.toString()} ${String(body)} ${problem === null ? 'fine' : 'named'}`);
      }
    }
    await appender.close();
    await log.close();
    assert.deepEqual(stored, ['Patient/a x fine', 'Patient/large null named', 'Patient/b y fine']);
    assert.deepEqual(named, ['Patient/large']);
  });
});

/** Text that does not become smaller by compression. */
function randomText(length: number): string {
  let text = '';
  while (text.length < length) text += Math.random().toString(36).slice(2);
  return text.slice(0, length);
}
