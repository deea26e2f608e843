import type { ExportFile } from '../events/status.ts';
import type { Related, TaskRange } from '../events/tasks.ts';
import { fileSink } from './file-sink.ts';
import type { Chosen } from './chosen.ts';
import { chooseInScope } from './provenance-in-scope.ts';
import { chooseByReturned } from './provenance-of-returned.ts';
import { replayRanges, scanSelected } from './replay-ranges.ts';
import { isFiltered } from './task-run.ts';
import type { TaskRun } from './task-run.ts';
import { AsOf, belongsBefore, Selection } from './selection.ts';
import type { Belongs } from '../cohort/rights.ts';
import type { Selector } from './selection.ts';

/**
 * Replays resources that are returned because of others. The first pass reads the others and chooses, the second pass reads the chosen
 * resources. In both passes the newest version counts. Memory: the keys of the chosen resources.
 */
export async function replayRelated(run: TaskRun, related: Related): Promise<ExportFile[]> {
  const { now, before, maybe } = await choose(run, related);
  const written: ExportFile[] = [];
  for (const [type, ranges] of Map.groupBy(run.task.ranges, (range: TaskRange) => range.type)) {
    const files = run.files.of(type);
    const rights = run.population.rights(type);
    const permitted =
      (chosen: (key: string) => boolean, right: Belongs = () => true): Belongs =>
      (id, patients) =>
        chosen(`${type}/${id}`) && right(id, patients);
    const selection = new Selection(run.task.filter, {
      now: permitted(now, rights?.now),
      before: permitted(before, rights?.kept),
      maybe: permitted(maybe, rights?.before),
      touched: permitted(maybe, rights?.touched),
      filtered: isFiltered(run.task, type) || rights?.exact === false,
      restricted: rights !== undefined,
      limited: rights?.limited,
    });
    const sink = fileSink(files, run.shapeOf(type), run.rename);
    await replayRanges(run, ranges, () => ({ selection, sink, byPatients: true }));
    written.push(...(await files.finish()));
  }
  return written;
}

function choose(run: TaskRun, related: Related): Promise<Chosen> {
  if (related.by === 'referenced') return chooseReferenced(run, related.ranges);
  return related.by === 'target-in-scope'
    ? chooseInScope(run, related.ranges)
    : chooseByReturned(run, related);
}

/** A reference, or the address of a Binary, in JSON as it is written. */
const REFERENCE = /"(?:reference|url)"\s*:\s*"([^"\\]+)"/g;

/**
 * Chooses the resources of the wanted types that resources in scope refer to now, and those that they referred to as of `since`. So a newly
 * referred resource comes along at any age, an older one if it changed, and one that is no longer referred to is reported. A resource that
 * changed after `until` refers too: otherwise its older references would be in neither part of a division.
 */
async function chooseReferenced(run: TaskRun, ranges: readonly TaskRange[]): Promise<Chosen> {
  const wanted = new Set(run.task.ranges.map(({ type }) => type));
  const { since } = run.task.filter;
  const { population } = run;
  const referenced = async (selectionOf: (type: string) => Selector): Promise<Set<string>> => {
    const found = new Set<string>();
    await scanSelected(run, { ranges, selectionOf }, (_, body) => {
      // Some writers escape slashes.
      for (const [, reference] of body().replaceAll('\\/', '/').matchAll(REFERENCE)) {
        const referred = run.references.parse(reference);
        if (referred && wanted.has(referred.type)) found.add(`${referred.type}/${referred.id}`);
      }
    });
    return found;
  };
  const always = { since: undefined, until: undefined };
  const all = await referenced((type) => Selection.of(always, population, type));
  if (since === undefined) return { now: (key) => all.has(key), before: () => false, maybe: () => false };
  const had = await referenced((type) => new AsOf(since, belongsBefore(type, population)));
  return {
    now: (key) => all.has(key),
    before: (key) => had.has(key),
    maybe: (key) => had.has(key) || all.has(key), // compaction may have removed the version that referred to it
  };
}
