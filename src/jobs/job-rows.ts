import type { ClientBase } from 'pg';
import { lsn, stamp } from '../base/positions.ts';
import { EVERYTHING } from '../events/request.ts';
import type { ExportParameters } from '../events/request.ts';
import type { ExportFile } from '../events/status.ts';
import type { Lane } from '../events/tasks.ts';
import type { JobRecord, PlanFacts, TaskRecord } from './job-record.ts';
import type { JobTables } from './schema.ts';

export type Queryable = Pick<ClientBase, 'query'>;

/** jsonb has neither bigint nor undefined. */
interface PlanRow extends Omit<PlanFacts, 'lsn' | 'transactionTime' | 'parameters'> {
  readonly lsn: string;
  readonly transactionTime: number;
  readonly parameters: ExportParameters;
}

interface TaskRow {
  readonly taskId: string;
  readonly lane: Lane;
  readonly plannedBytes: number;
  readonly starts: number;
  readonly fraction: number;
  readonly completed: boolean;
  readonly place: number | null;
}

interface FileRow extends ExportFile {
  readonly taskId: string;
  readonly n: number;
}

export interface JobRow {
  readonly jobId: string;
  readonly state: JobRecord['state'];
  readonly plan: PlanRow | null;
  readonly started: boolean;
  readonly activeAt: number;
  readonly endedAt: number | null;
  readonly failure: JobRecord['failure'] | null;
  readonly tasks: readonly TaskRow[];
  readonly files: readonly FileRow[];
}

/** SQL for one JSON value with the whole folded job, for a row `j` of the job table: one statement gives a consistent view. */
export function jobAsJson(t: JobTables, fraction = 'fraction'): string {
  return `json_build_object('jobId', j.job_id, 'state', j.state, 'plan', j.plan, 'started', j.started, 'activeAt', j.active_at,
    'endedAt', j.ended_at, 'failure', j.failure,
    'tasks', (SELECT coalesce(json_agg(json_build_object('taskId', task_id, 'lane', lane, 'plannedBytes', planned_bytes,
        'starts', starts, 'fraction', ${fraction}, 'completed', completed, 'place', place) ORDER BY task_id COLLATE "C"), '[]')
      FROM ${t.task} k WHERE job_id = j.job_id),
    'files', (SELECT coalesce(json_agg(json_build_object('taskId', task_id, 'n', n, 'kind', kind, 'type', type, 'key', key,
        'count', count, 'bytes', bytes, 'sha256', sha256) ORDER BY task_id COLLATE "C", n), '[]')
      FROM ${t.file} WHERE job_id = j.job_id))`;
}

/** The same with progress, which is not part of the fold. */
export function jobWithProgressAsJson(t: JobTables): string {
  const reported = `SELECT p.fraction FROM ${t.progress} p WHERE p.job_id = k.job_id AND p.task_id = k.task_id`;
  return jobAsJson(t, `greatest(k.fraction, (${reported}))`);
}

export async function loadJob(
  client: Queryable,
  t: JobTables,
  jobId: string,
): Promise<JobRecord | undefined> {
  const text = `SELECT ${jobAsJson(t)} AS job FROM ${t.job} j WHERE job_id = $1`;
  const { rows } = await client.query<{ job: JobRow }>(text, [jobId]);
  return rows[0] === undefined ? undefined : jobOf(rows[0].job);
}

export function jobOf(row: JobRow): JobRecord {
  const files = Map.groupBy(row.files, ({ taskId }) => taskId);
  const tasks = row.tasks.map(({ completed, place, ...task }): TaskRecord => {
    const ofTask = (files.get(task.taskId) ?? []).map(({ taskId: _, n: __, ...file }): ExportFile => file);
    return { ...task, files: completed ? ofTask : undefined, place: place ?? undefined };
  });
  return {
    jobId: row.jobId,
    state: row.state,
    plan: row.plan === null ? undefined : planOf(row.plan),
    tasks: new Map(tasks.map((task) => [task.taskId, task])),
    started: row.started,
    activeAt: row.activeAt,
    endedAt: row.endedAt ?? undefined,
    failure: row.failure ?? undefined,
  };
}

/** Restores the undefined parameters, which jsonb does not store. */
export function parametersOf(parameters: Partial<ExportParameters>): ExportParameters {
  return { ...EVERYTHING, ...parameters };
}

/** Writes the differences. The fold keeps the same object for a part that did not change. */
export async function saveJob(
  client: Queryable,
  t: JobTables,
  change: { before: JobRecord | undefined; after: JobRecord },
): Promise<void> {
  const { before, after } = change;
  if (before !== undefined && before.plan === after.plan) await updateJob(client, t, after);
  else await insertJob(client, t, after);
  if (after.state !== 'running' && (before === undefined || before.state === 'running'))
    await client.query(`DELETE FROM ${t.unfinished} WHERE job_id = $1`, [after.jobId]);
  const changed = [...after.tasks.values()].filter((task) => before?.tasks.get(task.taskId) !== task);
  if (changed.length === 0) return;
  const tasks = changed.map(({ files, place, ...task }): TaskRow => ({
    ...task,
    completed: files !== undefined,
    place: place ?? null,
  }));
  await client.query(
    `INSERT INTO ${t.task} (job_id, task_id, lane, planned_bytes, starts, fraction, completed, place)
     SELECT $1, "taskId", lane, "plannedBytes", starts, fraction, completed, place FROM jsonb_to_recordset($2)
       AS x("taskId" text, lane text, "plannedBytes" bigint, starts int, fraction float8, completed boolean, place int)
     ON CONFLICT (job_id, task_id) DO UPDATE SET starts = excluded.starts, fraction = excluded.fraction, completed = excluded.completed,
       place = excluded.place`,
    [after.jobId, JSON.stringify(tasks)],
  );
  // A task completes once, so its files are new.
  const files = changed.flatMap(({ taskId, files: ofTask = [] }) =>
    ofTask.map((file, n): FileRow => ({ ...file, taskId, n })),
  );
  if (files.length === 0) return;
  await client.query(
    `INSERT INTO ${t.file} (job_id, task_id, n, kind, type, key, count, bytes, sha256)
     SELECT $1, "taskId", n, kind, type, key, count, bytes, sha256 FROM jsonb_to_recordset($2)
       AS x("taskId" text, n int, kind text, type text, key text, count bigint, bytes bigint, sha256 text)`,
    [after.jobId, JSON.stringify(files)],
  );
}

async function insertJob(client: Queryable, t: JobTables, after: JobRecord): Promise<void> {
  await client.query(
    `INSERT INTO ${t.job} (job_id, state, plan, started, active_at, ended_at, failure) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (job_id) DO UPDATE SET state = excluded.state, plan = excluded.plan, started = excluded.started,
       active_at = excluded.active_at, ended_at = excluded.ended_at, failure = excluded.failure`,
    [
      after.jobId,
      after.state,
      planRow(after.plan),
      after.started,
      after.activeAt,
      after.endedAt,
      json(after.failure),
    ],
  );
}

/** Leaves the plan as it is: it may be large, and it does not change. */
async function updateJob(client: Queryable, t: JobTables, after: JobRecord): Promise<void> {
  await client.query(
    `UPDATE ${t.job} SET state = $2, started = $3, active_at = $4, ended_at = $5, failure = $6 WHERE job_id = $1`,
    [after.jobId, after.state, after.started, after.activeAt, after.endedAt, json(after.failure)],
  );
}

function planOf(row: PlanRow): PlanFacts {
  return {
    ...row,
    parameters: parametersOf(row.parameters),
    transactionTime: stamp(row.transactionTime),
    lsn: lsn(BigInt(row.lsn)),
  };
}

function planRow(plan: PlanFacts | undefined): string | undefined {
  return plan === undefined ? undefined : JSON.stringify({ ...plan, lsn: String(plan.lsn) });
}

function json(value: object | undefined): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}
