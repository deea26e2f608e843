import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { HeadwaterError } from '../../src/base/errors.ts';
import { offset, stamp } from '../../src/base/positions.ts';
import type { StatusEvent } from '../../src/events/status.ts';
import type { Task } from '../../src/events/tasks.ts';
import type { NewRecord, Outcome, QueuedRecord, QueueOptions, WorkQueue } from '../../src/log/log.ts';
import { Worker } from '../../src/replay/worker.ts';
import type { TaskResult } from '../../src/replay/run-task.ts';
import type { TaskRunner } from '../../src/replay/task-runner.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const jobId = randomUUID();
const task: Task = {
  jobId,
  taskId: '0001',
  lane: 'quick',
  folder: 'f',
  outputFormat: 'ndjson',
  layout: 'flat',
  ranges: [],
  plannedBytes: 0,
  filter: {
    since: undefined,
    until: stamp(1),
    scope: undefined,
    typeFilters: [],
    elements: [],
    everyPatient: false,
  },
  related: undefined,
  organized: undefined,
  warnings: [],
  topicIds: new Map(),
};
const record = (key: string): QueuedRecord => ({
  topic: 'hw.tasks.quick',
  partition: 0,
  offset: offset(0),
  key,
  value: Buffer.alloc(0),
});
const asJson = (event: StatusEvent): NewRecord => ({
  topic: 'hw.status',
  key: event.jobId,
  value: Buffer.from(JSON.stringify(event)),
});
const eventsOf = (outcome: Outcome): StatusEvent[] =>
  outcome.map(({ value }) => JSON.parse(value.toString()) as StatusEvent);

const NO_FILES: TaskResult = { files: [], disclosed: undefined };

interface Given {
  readonly run?: TaskRunner['run'];
  readonly publish?: () => Promise<void>;
  readonly requireVersions?: () => Promise<void>;
  readonly decode?: () => Task;
}

/** A worker that holds its lane, and what the queue may ask of it. */
async function worker({ run, publish, requireVersions, decode = () => task }: Given) {
  const published: StatusEvent[] = [];
  const counted: string[] = [];
  let held: { options: QueueOptions; handle: (record: QueuedRecord) => Promise<Outcome> } | undefined;
  const queue: WorkQueue = {
    run(options, handle, signal) {
      held = { options, handle: (given) => handle(given, signal) };
      return Promise.resolve();
    },
  };
  await new Worker({
    lane: 'quick',
    topic: 'hw.tasks.quick',
    group: 'hw.worker.quick',
    queue,
    publisher: {
      append: async (records) => {
        await publish?.();
        published.push(...eventsOf(records));
      },
      close: () => Promise.resolve(),
    },
    runner: { run: run ?? (() => Promise.resolve(NO_FILES)), close: () => Promise.resolve() },
    concurrency: 1,
    ended: { isEnded: () => false, isTaskDone: () => false, signalFor: () => new AbortController().signal },
    decodeTask: decode,
    statusRecord: asJson,
    requireVersions: requireVersions ?? (() => Promise.resolve()),
    disclosedRecord: ({ jobId: key, ...value }) => ({
      topic: 'hw.disclosures',
      key,
      value: Buffer.from(JSON.stringify(value)),
    }),
    metrics: {
      taskStarted: () => counted.push('started'),
      taskEnded: (_, outcome) => counted.push(outcome),
      taskFailed: () => counted.push('failed'),
    },
    clock: () => 777,
    instance: 'w',
    logger: quiet,
    health: { ready() {} },
  }).run(new AbortController().signal);
  assert.ok(held);
  return { ...held, published, counted };
}

describe('worker', () => {
  it('completes a task and reports its start first', async () => {
    const { handle, published } = await worker({});
    const [done] = eventsOf(await handle(record(`${jobId}/0001`)));
    assert.equal(done?.kind, 'TaskCompleted');
    assert.deepEqual(
      published.map(({ kind }) => kind),
      ['TaskStarted'],
    );
  });

  it('leaves the delivery to be repeated when Kafka is away while the start is reported', async () => {
    let away = true;
    const gone = new HeadwaterError('unavailable', 'Kafka is away');
    const { handle } = await worker({ publish: () => (away ? Promise.reject(gone) : Promise.resolve()) });
    await assert.rejects(handle(record(`${jobId}/0001`)), gone);
    away = false;
    assert.equal(eventsOf(await handle(record(`${jobId}/0001`)))[0]?.kind, 'TaskCompleted');
  });

  it('leaves out a task with a wrong seal, and fails no job for it', async () => {
    const decode = (): Task => {
      throw new HeadwaterError('forbidden', 'a task has a wrong seal');
    };
    const { handle, published, counted } = await worker({ decode });
    assert.deepEqual(await handle(record(`${jobId}/0001`)), []);
    assert.deepEqual([published, counted], [[], []]);
  });

  it('completes no task for which the log may have lost versions', async () => {
    const lost = new HeadwaterError('unavailable', 'start a janitor');
    let looks = 0;
    const { handle } = await worker({
      requireVersions: () => (++looks === 2 ? Promise.reject(lost) : Promise.resolve()),
    });
    await assert.rejects(handle(record(`${jobId}/0001`)), lost);
    assert.equal(looks, 2, 'before and after the replay');
    assert.equal(eventsOf(await handle(record(`${jobId}/0001`)))[0]?.kind, 'TaskCompleted');
  });

  it('reports a start once, and life each time, when one process repeats a delivery', async () => {
    let attempts = 0;
    const { handle, published, counted } = await worker({
      run: () =>
        ++attempts < 8
          ? Promise.reject(new HeadwaterError('unavailable', 'the store is away'))
          : Promise.resolve(NO_FILES),
    });
    for (let i = 0; i < 7; i++) await assert.rejects(handle(record(`${jobId}/0001`)), /the store is away/);
    await handle(record(`${jobId}/0001`));
    assert.deepEqual(
      published.map(({ kind }) => kind),
      ['TaskStarted', ...Array.from({ length: 7 }, () => 'TaskProgressed')],
    );
    assert.equal(counted.filter((what) => what === 'started').length, 8);
    assert.equal(counted.filter((what) => what === 'interrupted').length, 7);
  });

  it('remembers the reported starts of a bounded number of tasks, the last ones', async () => {
    let taskId = '';
    const { handle, published } = await worker({ decode: () => ({ ...task, taskId }) });
    const run = async (number: number): Promise<void> => {
      taskId = String(number);
      await handle(record(`${jobId}/${taskId}`));
    };
    for (let number = 0; number <= 10_000; number++) {
      await run(number);
      await run(1); // is repeated meanwhile
    }
    assert.equal(published.length, 10_001);
    await run(1);
    assert.equal(published.length, 10_001);
    await run(0);
    assert.equal(published.length, 10_002);
  });

  it('fails the job of a task that is given up, in words for clients', async () => {
    const { options, counted } = await worker({});
    const damaged = new HeadwaterError('corrupt', 'hw.resources.Patient/3 at kafka-3:9092 is damaged');
    const [event] = eventsOf(options.giveUp?.(record(`${jobId}/0001`), damaged) ?? []);
    assert.ok(event?.kind === 'TaskFailed');
    assert.deepEqual([event.jobId, event.taskId, event.code], [jobId, '0001', 'corrupt']);
    assert.doesNotMatch(event.message, /kafka|hw\./);
    assert.deepEqual(counted, ['failed']);
  });

  it('leaves out a task that cannot be read and names no job', async () => {
    const { options } = await worker({});
    const error = new HeadwaterError('corrupt', 'not in wire format');
    for (const key of ['', 'poison', 'poison/0001', jobId])
      assert.deepEqual(options.giveUp?.(record(key), error), [], key);
  });
});
