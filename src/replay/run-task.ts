import { remedyFor } from '../base/errors.ts';
import { resolveCohort } from '../cohort/cohort.ts';
import type { DisclosedPatients } from '../events/audit.ts';
import type { ExportFile } from '../events/status.ts';
import { offsetsOf } from '../events/task-range.ts';
import type { Scope, Task, TaskRange } from '../events/tasks.ts';
import { operationOutcome } from '../fhir/operation-outcome.ts';
import { requireTopics } from '../log/require-topics.ts';
import { deidentifiedRun } from './deidentified.ts';
import { ALL_PATIENTS, noting, PatientCollector, writesEverything } from './disclosed-patients.ts';
import { fileSink, report } from './file-sink.ts';
import { replayOrganized } from './organized.ts';
import { RangesReader } from './ranges-reader.ts';
import { replayRelated } from './related.ts';
import { replayRange } from './replay-range.ts';
import { resolveRights } from '../cohort/rights.ts';
import { withSecrets } from './redaction-keys.ts';
import { isByPatients, selectionOf } from './task-run.ts';
import type { TaskRun, TaskTools } from './task-run.ts';
import { TaskFiles } from './task-files.ts';
import { shapesOf } from './shape.ts';
import type { Shape } from './shape.ts';

/** Types whose files may still be ending while the next type is replayed. */
const MAX_ENDING = 8;

/** The outcome of a task. */
export interface TaskResult {
  readonly files: readonly ExportFile[];
  /** The patients whose data the files hold; undefined if there are none. */
  readonly disclosed: DisclosedPatients | undefined;
}

/** How a caller follows and stops a task. */
export interface TaskControl {
  readonly signal: AbortSignal;
  /** Called with 0 to 1. */
  readonly onProgress: (fraction: number) => void;
}

/**
 * Runs a task, from the log to its files. A pure function of the task and an immutable part of the log: each attempt writes the same
 * bytes under the same names. A failed attempt leaves no unfinished file. Throws `gone` when a topic is not the one of the
 * cut, also when it is replaced while it is read.
 */
export async function runTask(task: Task, tools: TaskTools, control: TaskControl): Promise<TaskResult> {
  const { reader, topicOf } = tools.log;
  const { signal } = control;
  const topics = new Map([...task.topicIds].map(([type, id]) => [topicOf(type), id]));
  const sameTopics = (): Promise<void> => requireTopics(reader, topics, signal);
  await sameTopics();
  try {
    const run = await begin(task, tools, control);
    const files = await replay(run, tools.blockBytes);
    await sameTopics();
    return { files, disclosed: run.disclosed() };
  } catch (error) {
    // To a reader, a deleted topic looks like an unreachable broker.
    if (!signal.aborted && remedyFor(error) === 'retry') await sameTopics();
    throw error;
  }
}

async function begin(task: Task, tools: TaskTools, { signal, onProgress }: TaskControl): Promise<TaskRun> {
  const { log, references, patientsOf, keysFolder } = tools;
  const { jobId, filter } = task;
  const { reader, topicOf, codec } = log;
  const scope = filter.scope && (await withPatients(filter.scope, jobId, patientsOf, signal));
  const decodeChange = (value: Buffer): ReturnType<typeof codec.decode> => codec.decode(value);
  const resources = { reader, topicOf, references, decodeChange };
  const cohort = scope && (await resolveCohort(scope, filter.since, resources, signal));
  const granted = filter.rights && (await withSecrets(filter.rights, keysFolder));
  const rights = await resolveRights(granted, filter.since, resources, signal);
  const ranges = [...task.ranges, ...(task.related?.ranges ?? [])];
  const total = ranges.reduce((sum, range) => sum + offsetsOf(range), 0);
  let passed = 0;
  const onBatch = (offsets: number): void => onProgress(Math.min(1, (passed += offsets) / total));
  const deidentified = await deidentifiedRun(task, tools);
  const shapes = shapesOf(filter, codec, references, rights);
  const writtenAs = (type: string): Shape => deidentified?.shape(shapes(type)) ?? shapes(type);
  const population = { cohort, rights };
  const patients = writesEverything({ task, population }) ? undefined : new PatientCollector();
  const files = new TaskFiles(task, tools);
  return {
    task,
    population,
    log,
    references,
    files,
    shapeOf: (type) => (patients ? noting(writtenAs(type), patients, codec) : writtenAs(type)),
    disclosed: () => (patients ? patients.value : ALL_PATIENTS),
    rename: deidentified?.rename,
    onBatch,
    signal,
  };
}

/** A scope with all patients that the request names, which may stand in its command. */
async function withPatients(
  scope: Scope,
  jobId: string,
  patientsOf: TaskTools['patientsOf'],
  signal: AbortSignal,
): Promise<Scope> {
  if (scope.command === undefined) return scope;
  return { ...scope, patients: await patientsOf(jobId, scope.command, signal), command: undefined };
}

async function replay(run: TaskRun, blockBytes?: number): Promise<ExportFile[]> {
  const { organized, related } = run.task;
  try {
    const written = organized
      ? await replayOrganized(run, organized, blockBytes)
      : related
        ? await replayRelated(run, related)
        : await replayTypes(run);
    return [...written, ...(await warnings(run))];
  } catch (error) {
    await run.files.abort();
    throw error;
  }
}

async function replayTypes(run: TaskRun): Promise<ExportFile[]> {
  const { task, signal, log, population } = run;
  const reading = new RangesReader(log, task.ranges, signal);
  const ending: Promise<ExportFile[]>[] = [];
  try {
    for (const [type, ranges] of Map.groupBy(task.ranges, (range: TaskRange) => range.type)) {
      const files = run.files.of(type);
      const options = {
        codec: log.codec,
        selection: selectionOf(run, type),
        byPatients: isByPatients(population, type),
        sink: fileSink(files, run.shapeOf(type), run.rename),
        onBatch: run.onBatch,
      };
      for (const range of ranges) {
        await replayRange(reading.range(range), options);
        signal.throwIfAborted();
      }
      const ended = files.finish();
      ended.catch(() => undefined); // it is awaited below
      ending.push(ended);
      await ending.at(-1 - MAX_ENDING);
    }
    return (await Promise.all(ending)).flat();
  } catch (error) {
    await reading.close();
    await Promise.allSettled(ending);
    throw error;
  }
}

/** Writes an OperationOutcome for each warning of the request; its severity is `warning`, since some clients take an error for a failed export. */
async function warnings({ task, files: all }: TaskRun): Promise<ExportFile[]> {
  if (task.warnings.length === 0) return [];
  const files = all.of('OperationOutcome');
  for (const warning of task.warnings)
    report(files, 'error', operationOutcome('warning', 'not-supported', warning));
  return files.finish();
}
