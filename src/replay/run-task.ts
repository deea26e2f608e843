import { remedyFor } from '../base/errors.ts';
import { resolveCohort } from '../cohort/cohort.ts';
import type { ExportFile } from '../events/status.ts';
import { offsetsOf } from '../events/task-range.ts';
import type { Scope, Task, TaskRange } from '../events/tasks.ts';
import { operationOutcome } from '../fhir/operation-outcome.ts';
import { FileSet } from '../files/file-set.ts';
import { requireTopics } from '../log/require-topics.ts';
import { fileSink, report } from './file-sink.ts';
import { replayOrganized } from './organized.ts';
import { RangesReader } from './ranges-reader.ts';
import { replayRelated } from './related.ts';
import { replayRange } from './replay-range.ts';
import { Selection } from './selection.ts';
import type { TaskContext, TaskRun } from './task-run.ts';
import { shapesOf } from './shape.ts';

/** Types whose files are being ended while the next one is replayed. */
const MOST_ENDING = 8;

/**
 * A task, from the log to its files. A pure function of the task and an immutable part of the log: whoever runs it again
 * writes the same bytes under the same names. What it throws leaves no file half-written. Throws `gone` when a topic is not the
 * one of the cut, also when that happens while it is read.
 */
export async function runTask(task: Task, context: TaskContext): Promise<ExportFile[]> {
  const { reader, topicOf, signal } = context;
  const topics = new Map([...task.topicIds].map(([type, id]) => [topicOf(type), id]));
  const sameTopics = (): Promise<void> => requireTopics(reader, topics, signal);
  await sameTopics();
  try {
    const files = await replay(task, context);
    await sameTopics();
    return files;
  } catch (error) {
    // To a reader, a topic that was deleted looks like a broker that is away.
    if (!signal.aborted && remedyFor(error) === 'retry') await sameTopics();
    throw error;
  }
}

async function replay(task: Task, context: TaskContext): Promise<ExportFile[]> {
  const { store, codec, signal, onProgress, fileBytes, reader, topicOf, references } = context;
  const { since } = task.filter;
  const scope = await wholeScope(task, context);
  const log = { reader, topicOf, references, decodeChange: (value: Buffer) => codec.decode(value) };
  const cohort = scope && (await resolveCohort(scope, since, log, signal));
  const total = [...task.ranges, ...(task.related?.ranges ?? [])].reduce(
    (sum, range) => sum + offsetsOf(range),
    0,
  );
  const isFiltered = (type: string): boolean =>
    task.filter.typeFilters.some((query) => query.startsWith(`${type}?`));
  let passed = 0;
  const sets: FileSet[] = [];
  const run: TaskRun = {
    ...context,
    task,
    cohort,
    onBatch: (offsets) => onProgress(Math.min(1, (passed += offsets) / total)),
    filesOf: (type) => {
      const files = new FileSet({ ...task, store, fileBytes }, type);
      sets.push(files);
      return files;
    },
    selectionOf: (type) => Selection.ofCohort(task.filter, cohort, type, isFiltered(type)),
    isFiltered,
    shapeOf: shapesOf(task.filter, codec, references),
  };
  try {
    const written: ExportFile[] = [];
    if (task.organized) written.push(...(await replayOrganized(run, task.organized)));
    else if (task.related) written.push(...(await replayRelated(run, task.related)));
    else written.push(...(await replayTypes(run)));
    written.push(...(await warnings(run)));
    return written;
  } catch (error) {
    await Promise.all(sets.map((files) => files.abort()));
    throw error;
  }
}

/** With all its patients. */
async function wholeScope(
  { jobId, filter: { scope } }: Task,
  context: TaskContext,
): Promise<Scope | undefined> {
  if (scope?.command === undefined) return scope;
  return { ...scope, patients: await context.patientsOf(jobId, scope.command), command: undefined };
}

async function replayTypes(run: TaskRun): Promise<ExportFile[]> {
  const { task, signal, codec, cohort } = run;
  const reading = new RangesReader(run, task.ranges);
  const ending: Promise<ExportFile[]>[] = [];
  try {
    for (const [type, ranges] of Map.groupBy(task.ranges, (range: TaskRange) => range.type)) {
      const files = run.filesOf(type);
      const options = {
        codec,
        selection: run.selectionOf(type),
        byPatients: cohort !== undefined,
        sink: fileSink(files, run.shapeOf(type)),
        onBatch: run.onBatch,
      };
      for (const range of ranges) {
        await replayRange(reading.range(range), options);
        signal.throwIfAborted();
      }
      const ended = files.finish();
      ended.catch(() => undefined); // it is awaited below
      ending.push(ended);
      await ending.at(-1 - MOST_ENDING);
    }
    return (await Promise.all(ending)).flat();
  } catch (error) {
    await reading.close();
    await Promise.allSettled(ending);
    throw error;
  }
}

/** What was not done as asked, one OperationOutcome each; `warning`, since to some clients an error means that all failed. */
async function warnings({ task, filesOf }: TaskRun): Promise<ExportFile[]> {
  if (task.warnings.length === 0) return [];
  const files = filesOf('OperationOutcome');
  for (const warning of task.warnings)
    report(files, 'error', operationOutcome('warning', 'not-supported', warning));
  return files.finish();
}
