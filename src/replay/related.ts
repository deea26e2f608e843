import type { ExportFile } from '../events/status.ts';
import type { Related, TaskRange } from '../events/tasks.ts';
import { fileSink } from './file-sink.ts';
import { chooseByTargets } from './provenance-targets.ts';
import type { Chosen } from './provenance-targets.ts';
import { replayRanges, scanReturned } from './replay-ranges.ts';
import type { TaskRun } from './task-run.ts';
import { Selection } from './selection.ts';
import { shapeOf } from './shape.ts';

/**
 * Resources that are returned because of others: first which ones, by reading the others, then those. In both passes the
 * newest version counts, as everywhere. Memory: the keys of what is chosen.
 */
export async function replayRelated(run: TaskRun, related: Related): Promise<ExportFile[]> {
  const { now, before } =
    related.by === 'referenced' ? await chooseReferenced(run, related) : await chooseByTargets(run, related);
  const written: ExportFile[] = [];
  for (const [type, ranges] of Map.groupBy(run.task.ranges, (range: TaskRange) => range.type)) {
    const files = run.filesOf(type);
    const selection = new Selection(run.task.filter, {
      now: (id) => now(`${type}/${id}`),
      before: (id) => before(`${type}/${id}`),
    });
    const sink = fileSink(files, shapeOf(run.task.filter, type, run.codec));
    await replayRanges(run, ranges, () => ({ selection, sink, byPatients: true }));
    written.push(...(await files.finish()));
  }
  return written;
}

/** A relative reference, or the address of a Binary, in JSON as it is written. */
const REFERENCE =
  /"(?:reference|url)"\s*:\s*"(([A-Z][A-Za-z]+)\/[A-Za-z0-9\-.]{1,64})(?:\/_history\/[^"]*)?"/g;

/**
 * What the resources in scope refer to, of the types that are wanted. Under `since`, what a returned resource refers to comes
 * along whatever its age, since the client may not have it, and of the rest what changed. Every deletion is told.
 */
async function chooseReferenced(run: TaskRun, { ranges }: Related): Promise<Chosen> {
  const wanted = new Set(run.task.ranges.map(({ type }) => type));
  const { since } = run.task.filter;
  const referenced = async (from: number | undefined): Promise<Set<string>> => {
    const found = new Set<string>();
    await scanReturned(run, { ranges, since: from }, (_, body) => {
      for (const [, key, type] of body().matchAll(REFERENCE))
        if (key !== undefined && type !== undefined && wanted.has(type)) found.add(key);
    });
    return found;
  };
  const all = await referenced(undefined);
  const fresh = since === undefined ? all : await referenced(since);
  return { now: (key) => all.has(key), before: (key) => !fresh.has(key) };
}
