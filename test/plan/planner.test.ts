import assert from 'node:assert/strict';
import { References } from '../../src/fhir/reference.ts';
import { HeadwaterError } from '../../src/base/errors.ts';
import { lsn, offset, stamp } from '../../src/base/positions.ts';
import type { Command } from '../../src/events/commands.ts';
import type { StatusEvent } from '../../src/events/status.ts';
import type { Task } from '../../src/events/tasks.ts';
import type { Outcome, QueuedRecord, QueueOptions, WorkQueue } from '../../src/log/log.ts';
import { Planner } from '../../src/plan/planner.ts';
import { EVERYTHING } from '../../src/events/request.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const asJson = (value: unknown): Buffer =>
  Buffer.from(JSON.stringify(value, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v)));

const commandRecord: QueuedRecord = {
  topic: 'hw.commands',
  partition: 0,
  offset: offset(0),
  key: 'j',
  value: Buffer.alloc(0),
};

/** Hands one command to a planner and returns what it wants appended. `stamps` are the log: those of Patient's partitions. */
async function when(command: Command, stamps: readonly (readonly number[])[] = []): Promise<Outcome> {
  const { handle } = await held(command, stamps);
  return handle();
}

/** What a planner asks of its queue. */
async function held(command: Command, stamps: readonly (readonly number[])[] = []) {
  let asked: { options: QueueOptions; handle: () => Promise<Outcome> } | undefined;
  const queue: WorkQueue = {
    run(options, handle, signal) {
      assert.deepEqual(options.topics, ['hw.commands']);
      options.onAssigned?.();
      asked = { options, handle: () => handle(commandRecord, signal) };
      return Promise.resolve();
    },
  };
  const planner = new Planner({
    requireVersions: () => Promise.resolve(),
    queue,
    reader: {
      topics: () => Promise.resolve(new Map([['hw.resources.Patient', { id: 'second', partitions: 1 }]])),
      async offsetsAt(topic, time) {
        assert.equal(topic, 'hw.resources.Patient');
        return stamps.map((list) => offset(list.filter((s) => s < time).length));
      },
      ends: () => assert.fail(),
      read: () => assert.fail(),
      readBackward: () => assert.fail('a system export reads nothing to be planned'),
    },
    codecs: {
      command: { decode: () => command },
      status: { encode: asJson },
      task: { encode: asJson },
      change: { decode: () => assert.fail() },
      zone: { decode: () => assert.fail() },
    },
    topics: {
      commands: 'hw.commands',
      zones: 'hw.zones',
      status: 'hw.status',
      tasks: { quick: 'hw.tasks.quick', bulk: 'hw.tasks.bulk' },
      resource: (type) => `hw.resources.${type}`,
    },
    group: 'hw.planner',
    settings: { taskBytes: 1e6, quickBytes: 1e4, parallelism: 2, layout: 'flat' },
    references: new References([]),
    clock: () => 777,
    logger: quiet,
    health: { ready() {} },
  });
  await planner.run(new AbortController().signal);
  assert(asked);
  return asked;
}

const events = (outcome: Outcome): StatusEvent[] =>
  outcome
    .filter(({ topic }) => topic === 'hw.status')
    .map(({ value }) => JSON.parse(value.toString()) as StatusEvent);
const tasks = (outcome: Outcome): Task[] =>
  outcome
    .filter(({ topic }) => topic.startsWith('hw.tasks'))
    .map(({ value }) => JSON.parse(value.toString()) as Task);

function requested(ends: readonly number[], since?: string): Command {
  return {
    kind: 'ExportRequested',
    jobId: 'j',
    clientId: 'c',
    acceptedAt: 1,
    requestUrl: 'http://x/fhir/$export',
    parameters: { ...EVERYTHING, types: ['Patient'], since },
    cut: {
      lsn: lsn(5n),
      time: stamp(9_000),
      ends: new Map([['Patient', ends.map(offset)]]),
      meanBytes: new Map([['Patient', 100]]),
    },
  };
}

describe('planner', () => {
  it('fails the job of a command that cannot be read or planned, in words for clients', async () => {
    const { options } = await held(requested([3]));
    const key = '0f0e0d0c-0b0a-4908-8706-050403020100';
    const error = new HeadwaterError('corrupt', 'hw.commands/3 at kafka-3:9092 cannot be read');
    const [event] = events(options.giveUp?.({ ...commandRecord, key }, error) ?? []);
    assert(event?.kind === 'ExportFailed');
    assert.deepEqual([event.jobId, event.code], [key, 'corrupt']);
    assert.doesNotMatch(event.message, /kafka|hw\./);
  });

  it('gives up an export whose cut points into a topic that was made again', async () => {
    const command = requested([3]);
    assert(command.kind === 'ExportRequested');
    const cut = { ...command.cut, topicIds: new Map([['Patient', 'first']]) };
    await assert.rejects(when({ ...command, cut }), { code: 'gone' });
    const same = { ...command.cut, topicIds: new Map([['Patient', 'second']]) };
    assert.ok((await when({ ...command, cut: same })).length > 0);
  });

  it('leaves out a command that cannot be read and names no job', async () => {
    const { options } = await held(requested([3]));
    assert.deepEqual(options.giveUp?.({ ...commandRecord, key: 'poison' }, new Error('not readable')), []);
  });

  it('given a request, appends the plan and its tasks on the lane of the job', async () => {
    const small = await when(requested([3, 4]));
    assert.deepEqual(
      small.map(({ topic, key }) => [topic, key]),
      [
        ['hw.status', 'j'],
        ['hw.tasks.quick', 'j/0001'],
      ],
    );
    const large = await when(requested([300, 400]));
    assert.deepEqual(
      large.map(({ topic }) => topic),
      ['hw.status', 'hw.tasks.bulk'],
    );
    assert.equal(events(large)[0]?.kind, 'ExportPlanned');
    assert.equal(events(large)[0]?.at, 777);
  });

  it('given a request for nothing, appends a plan without tasks', async () => {
    const outcome = await when(requested([]));
    assert.deepEqual(
      outcome.map(({ topic }) => topic),
      ['hw.status'],
    );
  });

  it('given _since, starts after every record stamped at or before it', async () => {
    const stamps = [[1, 5, 5, 6], [5]];
    const since = (ms: number): string => new Date(ms).toISOString();
    const ranges = async (text: string): Promise<unknown> =>
      tasks(await when(requested([4, 1], text), stamps))[0]?.ranges.map(({ gaps: _, ...range }) => range);
    assert.deepEqual(await ranges(since(5)), [{ type: 'Patient', partition: 0, from: 3, to: 4 }]);
    assert.deepEqual(await ranges(since(4)), [
      { type: 'Patient', partition: 0, from: 1, to: 4 },
      { type: 'Patient', partition: 1, from: 0, to: 1 },
    ]);
    assert.deepEqual(await ranges('1969-12-31T00:00:00Z'), [
      { type: 'Patient', partition: 0, from: 0, to: 4 },
      { type: 'Patient', partition: 1, from: 0, to: 1 },
    ]);
  });

  it('given _since finer than a millisecond, cuts it off', async () => {
    const outcome = await when(requested([1], '1970-01-01T01:00:00.0059999+01:00'), [[5]]);
    assert.deepEqual(tasks(outcome), []);
    const included = await when(requested([2], '1970-01-01T00:00:00.0059999Z'), [[5, 6]]);
    assert.equal(tasks(included)[0]?.filter.since, 5);
    assert.equal(tasks(included)[0]?.ranges[0]?.from, 1);
  });

  it('given _since a little after the cut, plans nothing, though the log has gone on', async () => {
    const outcome = await when(requested([1], '1970-01-01T00:01:00Z'), [[1, 2, 3]]);
    assert.deepEqual(tasks(outcome), []);
  });

  it('refuses a _since later than the time of the log, whatever the clock of the process says', async () => {
    const [event] = events(await when(requested([1], '1970-01-01T00:02:00Z')));
    assert(event?.kind === 'ExportFailed');
    assert.equal(event.code, 'bad-request');
    assert.match(
      event.message,
      /_since: 1970-01-01T00:02:00.000Z is in the future; the time of the log is 1970-01-01T00:00:09.000Z/,
    );
    const ahead = requested([3], '2099-12-31T23:59:59Z');
    assert(ahead.kind === 'ExportRequested');
    const time = stamp(Date.UTC(2100, 0, 1)); // the database's clock jumped ahead
    const outcome = await when({ ...ahead, cut: { ...ahead.cut, time } }, [[time, time, time]]);
    assert.equal(events(outcome)[0]?.kind, 'ExportPlanned');
    assert.equal(tasks(outcome).length, 1);
  });

  it('given a _since that is no instant, fails the export instead of exporting everything', async () => {
    const outcome = await when(requested([3], 'yesterday'));
    assert.deepEqual(events(outcome), [
      {
        kind: 'ExportFailed',
        jobId: 'j',
        at: 777,
        code: 'bad-request',
        message: '_since is not a FHIR instant',
      },
    ]);
    assert.equal(outcome.length, 1);
  });

  it('given a cancel, appends that the export is cancelled', async () => {
    const outcome = await when({ kind: 'ExportCancelRequested', jobId: 'j', cancelledAt: 5 });
    assert.deepEqual(events(outcome), [{ kind: 'ExportCancelled', jobId: 'j', at: 777 }]);
    assert.deepEqual(
      outcome.map(({ topic, key }) => [topic, key]),
      [['hw.status', 'j']],
    );
  });
});
