import assert from 'node:assert/strict';
import fc from 'fast-check';
import { lsn, stamp } from '../../src/base/positions.ts';
import type { ExportFile, ExportPlanned, StatusEvent } from '../../src/events/status.ts';
import { fold, MAX_STARTS } from '../../src/jobs/fold.ts';
import type { Announcement } from '../../src/jobs/fold.ts';
import { progressOf } from '../../src/jobs/job-record.ts';
import type { JobRecord } from '../../src/jobs/job-record.ts';
import { EVERYTHING } from '../../src/events/request.ts';

const jobId = 'j';

function planned(...bytes: number[]): ExportPlanned {
  return {
    kind: 'ExportPlanned',
    jobId,
    at: 10,
    clientId: 'c',
    acceptedAt: 5,
    requestUrl: 'http://x/fhir/$export',
    parameters: EVERYTHING,
    folder: 'f_j',
    transactionTime: stamp(7),
    lsn: lsn(8n),
    tasks: bytes.map((plannedBytes, i) => ({ taskId: String(i + 1), lane: 'bulk', plannedBytes })),
  };
}

const file = (name: string): ExportFile => ({
  kind: 'output',
  type: 'Patient',
  key: `f_j/${name}`,
  count: 1,
  bytes: 2,
  sha256: 'aa',
});
const started = (taskId: string, at = 11): StatusEvent => ({
  kind: 'TaskStarted',
  jobId,
  at,
  taskId,
  worker: 'w',
});
const progressed = (taskId: string, fraction: number, at = 12): StatusEvent => ({
  kind: 'TaskProgressed',
  jobId,
  at,
  taskId,
  fraction,
});
const completed = (taskId: string, at = 13): StatusEvent => ({
  kind: 'TaskCompleted',
  jobId,
  at,
  taskId,
  files: [file(`${taskId}.ndjson`)],
});
const taskFailed = (taskId: string): StatusEvent => ({
  kind: 'TaskFailed',
  jobId,
  at: 14,
  taskId,
  code: 'corrupt',
  message: 'bad \0 bytes',
});
const failed: StatusEvent = { kind: 'ExportFailed', jobId, at: 15, code: 'deadline', message: 'late' };
const cancelled: StatusEvent = { kind: 'ExportCancelled', jobId, at: 16 };
const expired: StatusEvent = { kind: 'ExportExpired', jobId, at: 17 };

interface Run {
  readonly job: JobRecord | undefined;
  readonly announced: readonly Announcement[];
  readonly kinds: string;
}

function run(...events: readonly StatusEvent[]): Run {
  let job: JobRecord | undefined;
  const announced: Announcement[] = [];
  for (const event of events) {
    const folded = fold(job, event);
    job = folded.job;
    announced.push(...folded.announcements);
  }
  return { job, announced, kinds: announced.map(({ kind }) => kind).join(' ') };
}

describe('fold', () => {
  it('1: a plan with tasks makes the job run', () => {
    const { job, kinds, announced } = run(planned(100));
    assert.equal(job?.state, 'running');
    assert.equal(kinds, 'accepted');
    assert.equal(announced[0]?.at, 5);
  });

  it('2: a plan without tasks completes it at once', () => {
    const { job, kinds } = run(planned());
    assert.equal(job?.state, 'completed');
    assert.equal(job.endedAt, 10);
    assert.equal(kinds, 'accepted started completed');
    assert.equal(progressOf(job), 1);
  });

  it('3, 4, 13: a job may end before it is planned, and a later plan only adds its facts', () => {
    for (const [end, state] of [
      [failed, 'failed'],
      [cancelled, 'cancelled'],
    ] as const) {
      const { job, kinds } = run(end, planned(100), started('1'), completed('1'));
      assert.equal(job?.state, state);
      assert.equal(job.plan?.folder, 'f_j');
      assert.equal(kinds, `accepted ${state}`);
    }
  });

  it('5: the first work on a job is announced once', () => {
    assert.equal(run(planned(1, 1), started('1'), started('2'), started('1')).kinds, 'accepted started');
    assert.equal(run(planned(1, 1), progressed('1', 0.5), started('2')).kinds, 'accepted started');
    assert.equal(run(planned(1, 1), completed('1')).kinds, 'accepted started file-ready');
  });

  it('6: a task that is started too often fails the job', () => {
    const starts = Array.from({ length: MAX_STARTS }, () => started('1'));
    assert.equal(run(planned(1), ...starts).job?.state, 'running');
    const { job, kinds } = run(planned(1), ...starts, started('1'));
    assert.equal(job?.state, 'failed');
    assert.equal(job.failure?.code, 'poison-task');
    assert.equal(kinds, 'accepted started failed');
    assert.equal(run(planned(1, 1), ...starts, completed('1'), started('1')).job?.state, 'running');
  });

  it('7: progress is weighted by bytes and never decreases', () => {
    const { job } = run(planned(999, 2_999), progressed('2', 0.5), progressed('2', 0.1), started('2'));
    assert.ok(job);
    assert.equal(progressOf(job), 0.375);
  });

  it('8, 9: a task completes once, and the last task completes the job', () => {
    const half = run(planned(1, 1), started('1'), completed('1'), completed('1', 20));
    assert.equal(half.job?.state, 'running');
    assert.equal(half.kinds, 'accepted started file-ready');
    const { job, kinds } = run(
      planned(1, 1),
      started('1'),
      completed('1'),
      completed('1', 20),
      completed('2', 30),
    );
    assert.equal(job?.state, 'completed');
    assert.equal(job.endedAt, 30);
    assert.equal(kinds, 'accepted started file-ready file-ready completed');
    assert.deepEqual(job.tasks.get('1')?.files, [file('1.ndjson')]);
  });

  it('10: one failed task fails the job, and the first failure stays', () => {
    const { job, kinds } = run(planned(1, 1), completed('1'), taskFailed('2'), failed);
    assert.equal(job?.state, 'failed');
    assert.deepEqual(job.failure, { code: 'corrupt', message: 'bad  bytes' });
    assert.equal(kinds, 'accepted started file-ready failed');
  });

  it('11: a running or completed job can be cancelled, a failed one has ended', () => {
    assert.equal(run(planned(1), cancelled, completed('1')).job?.state, 'cancelled');
    assert.equal(
      run(planned(1), completed('1'), cancelled).kinds,
      'accepted started file-ready completed cancelled',
    );
    assert.equal(run(planned(1), failed, cancelled).job?.state, 'failed');
  });

  it('12: completed and failed jobs expire once and keep their end', () => {
    const { job, kinds } = run(planned(1), completed('1'), expired, expired, cancelled);
    assert.equal(job?.state, 'expired');
    assert.equal(job.endedAt, 13);
    assert.equal(kinds, 'accepted started file-ready completed expired');
    assert.equal(run(planned(1), failed, expired).job?.state, 'expired');
    assert.equal(run(planned(1), cancelled, expired).job?.state, 'cancelled');
    assert.equal(run(planned(1), expired).job?.state, 'running');
  });

  it('14: work on an unknown job or an unknown task changes nothing', () => {
    assert.deepEqual(run(started('1'), progressed('1', 1), completed('1'), taskFailed('1'), expired), {
      job: undefined,
      announced: [],
      kinds: '',
    });
    assert.equal(run(planned(1), completed('9')).job?.state, 'running');
  });

  const anyEvent = fc.oneof(
    fc.constantFrom<StatusEvent>(planned(), planned(5), planned(5, 5, 5), failed, cancelled, expired),
    fc.constantFrom('1', '2', '3', '9').chain((id) =>
      fc.oneof(
        fc.constantFrom<StatusEvent>(started(id), completed(id), taskFailed(id)),
        fc.double({ min: 0, max: 1, noNaN: true }).map((fraction) => progressed(id, fraction)),
      ),
    ),
  );

  it('keeps ends, grows progress and announces at most once, for any events in any order', () => {
    const next: Readonly<Record<string, readonly string[]>> = {
      running: ['running', 'completed', 'failed', 'cancelled'],
      completed: ['completed', 'cancelled', 'expired'],
      failed: ['failed', 'expired'],
      cancelled: ['cancelled'],
      expired: ['expired'],
    };
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
        let job: JobRecord | undefined;
        const announced: string[] = [];
        for (const event of events) {
          const folded = fold(job, event);
          if (job) {
            assert.ok(folded.job);
            assert.ok(next[job.state]?.includes(folded.job.state), `${job.state} to ${folded.job.state}`);
            assert.ok(progressOf(folded.job) >= progressOf(job));
            if (job.endedAt !== undefined && folded.job.state === job.state)
              assert.equal(folded.job.endedAt, job.endedAt);
          }
          job = folded.job;
          announced.push(...folded.announcements.map(({ kind, file: f }) => `${kind} ${f?.key ?? ''}`));
        }
        assert.equal(new Set(announced).size, announced.length);
        const ends = announced.filter((text) => /^(completed|failed)/.test(text));
        assert.ok(ends.length <= 1);
      }),
      { numRuns: 1_000 },
    );
  });

  it("reaches the same end for every interleaving and repetition of the tasks' events", () => {
    const ids = ['1', '2', '3'];
    const ofTask = (id: string, i: number): StatusEvent[] => [
      started(id, 20 + i),
      progressed(id, 0.3, 30),
      progressed(id, 0.6, 31),
      completed(id, 40 + i),
    ];
    const reference = run(planned(5, 6, 7), ...ids.flatMap(ofTask));
    // Which task moves next; after each step maybe something earlier of that task comes again.
    const steps = fc.array(fc.record({ task: fc.nat(2), again: fc.option(fc.nat(3)) }), {
      minLength: 12,
      maxLength: 40,
    });
    fc.assert(
      fc.property(steps, (order) => {
        const queues = ids.map(ofTask);
        const at = [0, 0, 0];
        const events: StatusEvent[] = [planned(5, 6, 7)];
        const step = (task: number, again: number | null): void => {
          const event = queues[task]?.[at[task] ?? 0];
          if (event) {
            events.push(event);
            at[task] = (at[task] ?? 0) + 1;
          }
          const earlier = again !== null && again < (at[task] ?? 0) ? queues[task]?.[again] : undefined;
          const starts = events.filter((e) => e.kind === 'TaskStarted' && e.taskId === ids[task]).length;
          if (earlier && !(earlier.kind === 'TaskStarted' && starts >= MAX_STARTS)) events.push(earlier);
        };
        for (const { task, again } of order) step(task, again);
        for (const task of [0, 1, 2]) for (let i = 0; i < 4; i++) step(task, null);
        const { job, announced } = run(...events);
        assert.deepEqual(comparable(job), comparable(reference.job));
        const places = [...(job?.tasks.values() ?? [])].map(({ place }) => place);
        assert.deepEqual(places.sort(), [0, 1, 2]);
        assert.deepEqual(
          new Set(announced.map(({ kind }) => kind)),
          new Set(reference.announced.map(({ kind }) => kind)),
        );
        assert.equal(announced.length, reference.announced.length);
      }),
      { numRuns: 500 },
    );
  });
});

/** A repeated start is counted, since it may be another worker's. */
function comparable(job: JobRecord | undefined): unknown {
  // How often a task was started, and when it was done among the others, is what the order of events decides.
  const tasks = [...(job?.tasks.values() ?? [])].map((task) => ({ ...task, starts: 0, place: undefined }));
  return { ...job, tasks };
}
