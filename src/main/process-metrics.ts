import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import type { Access } from '../access/access.ts';
import type { Lsn } from '../base/positions.ts';
import type { ServiceHealth } from '../base/service.ts';
import { CaptureLag } from '../capture/capture-lag.ts';
import type { CaptureMetrics } from '../capture/change-writer.ts';
import type { ExportFile } from '../events/status.ts';
import type { Lane } from '../events/tasks.ts';
import type { WorkerMetrics } from '../replay/worker.ts';

/** The metrics of one process, for Prometheus. */
export interface ProcessMetrics {
  readonly registry: Registry;
  readonly capture: CaptureMetrics & { loaded(resources: number): void };
  readonly worker: WorkerMetrics;
  projected(partition: number, next: number): void;
  /** Counts a record of a queue that could not be handled. */
  gaveUp(topic: string): void;
}

export function processMetrics(health: () => readonly ServiceHealth[], clock: () => number): ProcessMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'headwater_service_running',
    help: '1 while the service does its work, 0 while it waits for something',
    labelNames: ['service'],
    registers,
    collect() {
      for (const { name, state } of health()) this.set({ service: name }, state === 'running' ? 1 : 0);
    },
  });
  new Counter({
    name: 'headwater_service_failures_total',
    help: 'How often the service failed and was started again',
    labelNames: ['service'],
    registers,
    collect() {
      this.reset();
      for (const { name, failures } of health()) this.inc({ service: name }, failures);
    },
  });
  const projected = new Gauge({
    name: 'headwater_projected_offset',
    help: 'Next offset of the status topic that the job tables lack',
    labelNames: ['partition'],
    registers,
  });
  const givenUp = new Counter({
    name: 'headwater_records_given_up_total',
    help: 'Commands and tasks that cannot be read or handled; each is logged, and its job fails if it names one',
    labelNames: ['topic'],
    registers,
  });
  return {
    registry,
    capture: captureMetrics(registers, clock),
    worker: workerMetrics(registers),
    gaveUp: (topic) => givenUp.inc({ topic }),
    projected: (partition, next) => projected.set({ partition }, next),
  };
}

function captureMetrics(registers: Registry[], clock: () => number): ProcessMetrics['capture'] {
  const changes = new Counter({
    name: 'headwater_capture_changes_total',
    help: 'Resource changes handed to the log',
    labelNames: ['operation'],
    registers,
  });
  const bytes = new Counter({
    name: 'headwater_capture_bytes_total',
    help: 'Bytes of their bodies',
    registers,
  });
  const problems = new Counter({
    name: 'headwater_capture_problems_total',
    help: 'Resources that cannot be exported (too large, no JSON); each is logged by name',
    registers,
  });
  const loaded = new Gauge({
    name: 'headwater_capture_loaded_resources',
    help: 'Resources of the load under way or done',
    registers,
  });
  const lag = new CaptureLag(clock);
  let reached: Lsn | undefined;
  new Gauge({
    name: 'headwater_capture_lsn',
    help: 'Position in the write-ahead log that was received, in bytes',
    registers,
    collect() {
      if (reached !== undefined) this.set(Number(reached));
    },
  });
  new Gauge({
    name: 'headwater_capture_lag_seconds',
    help: 'Age of the oldest change that is committed in the source and not stored in Kafka; absent where another capture leads',
    registers,
    collect() {
      const { value } = lag;
      if (value === undefined) this.remove();
      else this.set(value / 1000);
    },
  });
  return {
    change: (operation, size) => {
      changes.inc({ operation });
      bytes.inc(size);
    },
    problem: () => problems.inc(),
    reached: (lsn) => (reached = lsn),
    lag,
    loaded: (resources) => loaded.set(resources),
  };
}

function workerMetrics(registers: Registry[]): WorkerMetrics {
  const running = new Gauge({
    name: 'headwater_tasks_running',
    help: 'Tasks being replayed',
    labelNames: ['lane'],
    registers,
  });
  const ended = new Counter({
    name: 'headwater_tasks_total',
    help: 'Tasks by how they ended',
    labelNames: ['lane', 'outcome'],
    registers,
  });
  const files = new Counter({
    name: 'headwater_files_total',
    help: 'Files written',
    labelNames: ['kind'],
    registers,
  });
  const bytes = new Counter({
    name: 'headwater_file_bytes_total',
    help: 'Bytes of files written',
    registers,
  });
  const resources = new Counter({
    name: 'headwater_file_lines_total',
    help: 'Lines of files written',
    labelNames: ['kind'],
    registers,
  });
  return {
    taskStarted: (lane: Lane) => running.inc({ lane }),
    taskEnded: (lane: Lane, outcome, written: readonly ExportFile[]) => {
      running.dec({ lane });
      ended.inc({ lane, outcome });
      for (const file of written) {
        files.inc({ kind: file.kind });
        bytes.inc(file.bytes);
        resources.inc({ kind: file.kind }, file.count);
      }
    },
    taskFailed: (lane) => ended.inc({ lane, outcome: 'failed' }),
  };
}

/** Counts unfinished jobs when Prometheus reads the metrics. While the database is away, the metric has no value. */
export function measureJobs(
  registry: Registry,
  count: () => Promise<{ accepted: number; running: number }>,
): void {
  new Gauge({
    name: 'headwater_jobs',
    help: 'Unfinished jobs: accepted ones wait for their plan, running ones have one',
    labelNames: ['state'],
    registers: [registry],
    async collect() {
      this.reset();
      const jobs = await count().catch(() => undefined);
      for (const [state, number] of Object.entries(jobs ?? {})) this.set({ state }, number);
    },
  });
}

/** Tells whether the access file as it is now is not the one in force. */
export function measureAccess(registry: Registry, access: Pick<Access, 'problem'>): void {
  new Gauge({
    name: 'headwater_access_file_wrong',
    help: '1 if the access file was changed and is wrong, so that the one before stays in force',
    registers: [registry],
    collect() {
      this.set(access.problem === undefined ? 0 : 1);
    },
  });
}
