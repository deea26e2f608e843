import fc from 'fast-check';
import { lsn, stamp } from '../../src/base/positions.ts';
import type { ExportFile, ExportPlanned, StatusEvent } from '../../src/events/status.ts';
import { EVERYTHING } from '../../src/events/request.ts';

/** Status events of one job, with times that grow. */
export function jobEvents(jobId: string, at = 1_700_000_000_000) {
  let now = at;
  const base = (): { readonly jobId: string; readonly at: number } => ({ jobId, at: now++ });
  const folder = `20250304T050607Z_${jobId}`;
  return {
    folder,
    planned: (...bytes: number[]): ExportPlanned => ({
      kind: 'ExportPlanned',
      ...base(),
      clientId: 'client',
      acceptedAt: at,
      requestUrl: `http://127.0.0.1/fhir/$export?_type=Patient&job=${jobId}`,
      parameters: { ...EVERYTHING, types: ['Patient'] },
      folder,
      transactionTime: stamp(1_740_000_000_123),
      lsn: lsn(2n ** 62n + 1n),
      tasks: bytes.map((plannedBytes, i) => ({
        taskId: String(i + 1).padStart(4, '0'),
        lane: 'bulk' as const,
        plannedBytes,
      })),
    }),
    started: (taskId: string): StatusEvent => ({ kind: 'TaskStarted', ...base(), taskId, worker: 'w' }),
    progressed: (taskId: string, fraction: number): StatusEvent => ({
      kind: 'TaskProgressed',
      ...base(),
      taskId,
      fraction,
    }),
    completed: (taskId: string, ...types: string[]): StatusEvent => ({
      kind: 'TaskCompleted',
      ...base(),
      taskId,
      files: types.map((type, n): ExportFile => ({
        kind: 'output',
        type,
        key: `${folder}/${type}.${taskId}-${n}.ndjson`,
        count: n + 1,
        bytes: 2 ** 40 + n,
        sha256: 'ab'.repeat(32),
      })),
    }),
    taskFailed: (taskId: string): StatusEvent => ({
      kind: 'TaskFailed',
      ...base(),
      taskId,
      code: 'limit',
      message: 'too "large" \\ \u0000é',
    }),
    failed: (code = 'deadline'): StatusEvent => ({ kind: 'ExportFailed', ...base(), code, message: 'late' }),
    cancelled: (): StatusEvent => ({ kind: 'ExportCancelled', ...base() }),
    expired: (): StatusEvent => ({ kind: 'ExportExpired', ...base() }),
  };
}

/** A random history of many jobs, mixed. */
export function randomHistory(jobs: number, seed: number): StatusEvent[] {
  const ids = Array.from({ length: jobs }, (_, i) => `job-${i}`);
  const one = (id: string): fc.Arbitrary<StatusEvent[]> =>
    fc
      .tuple(
        fc.nat(3),
        fc.array(fc.tuple(fc.nat(9), fc.constantFrom('0001', '0002', '0003')), { maxLength: 14 }),
      )
      .map(([tasks, steps]) => {
        const make = jobEvents(id);
        const event = (kind: number, taskId: string): StatusEvent => {
          if (kind <= 2) return make.started(taskId);
          if (kind <= 4) return make.progressed(taskId, kind / 5);
          if (kind <= 6) return make.completed(taskId, 'Patient', 'Claim', 'Patient');
          return [make.taskFailed(taskId), make.cancelled(), make.expired()][kind - 7] ?? make.failed();
        };
        const events = steps.map(([kind, taskId]) => event(kind, taskId));
        return [
          ...(tasks === 3 && events.length > 0 ? [] : [make.planned(...[10, 2_000, 0].slice(0, tasks))]),
          ...events,
        ];
      });
  const perJob = fc.sample(fc.tuple(...ids.map(one)), { seed, numRuns: 1 })[0] ?? [];
  const queues = perJob.map((list) => [...list]);
  const mixed: StatusEvent[] = [];
  for (let i = 0; queues.some((queue) => queue.length > 0); i++) {
    const event = queues[(i * 7 + (i >> 3)) % queues.length]?.shift();
    if (event) mixed.push(event);
  }
  return mixed;
}
