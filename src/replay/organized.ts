import { hash32 } from '../base/hash32.ts';
import type { ExportFile } from '../events/status.ts';
import type { Organized } from '../events/tasks.ts';
import type { FileSet } from '../files/file-set.ts';
import { NOWHERE, report, shaped } from './file-sink.ts';
import { PatientBlocks } from './patient-blocks.ts';
import type { Block } from './patient-blocks.ts';
import { replayRanges } from './replay-ranges.ts';
import type { Sink } from './replay-range.ts';
import { selectionOf } from './task-run.ts';
import type { TaskRun } from './task-run.ts';
import type { Lines } from './shape.ts';

/**
 * Output in blocks: a header that names a patient, the patient, then whatever is in the patient's compartment
 * (https://hl7.org/fhir/uv/bulkdata, "organizeOutputBy"). A resource of several patients is in the block of each. The task
 * has its share of the patients, and reads everything once.
 */
export async function replayOrganized(
  run: TaskRun,
  organized: Organized,
  blockBytes?: number,
): Promise<ExportFile[]> {
  const { task, signal } = run;
  const files = run.files.of(organized.by);
  const blocks = new PatientBlocks(blockBytes);
  const mine = (text: string): boolean => hash32(text) % organized.of === organized.slice;
  try {
    await replayRanges(run, task.ranges, ({ type }) => ({
      selection: selectionOf(run, type),
      sink: intoBlocks(run, type, { files, blocks, mine }),
      byPatients: true,
    }));
    for await (const block of blocks.blocks()) {
      writeBlock(files, block);
      await files.drain(); // a file ends between two blocks, never inside one
      signal.throwIfAborted();
    }
  } finally {
    await blocks.close();
  }
  return files.finish();
}

function intoBlocks(
  { log, population: { cohort, rights }, shapeOf }: TaskRun,
  type: string,
  out: { readonly files: FileSet; readonly blocks: PatientBlocks; readonly mine: (text: string) => boolean },
): Sink {
  const { files, blocks, mine } = out;
  const shape = shapeOf(type);
  const permitted = rights(type);
  const linesOf = (owners: readonly string[], key: string): Lines => ({
    line: (data, start, end) => {
      for (const id of owners) blocks.add(id, key === `Patient/${id}`, data, [start, end]);
    },
  });
  return {
    returned: (change, key) => {
      const { patients } = log.codec.decode(change.bytes);
      // A block names its patient, so that patient alone has to be reason enough to return the resource.
      const owners = patients.filter(
        (id) => mine(id) && (cohort?.members?.has(id) ?? true) && (permitted?.now('', [id]) ?? true),
      );
      // A task without a block still has to find what there is to report.
      return shaped(shape, owners.length > 0 ? linesOf(owners, key) : NOWHERE, change);
    },
    returns: (change) => shaped(shape, NOWHERE, change) === undefined,
    // Every task of the job meets it, and one task reports it.
    reported: (kind, key, resource) => {
      if (mine(key)) report(files, kind, resource);
    },
    drain: async () => {
      await blocks.drain();
      await files.drain();
    },
  };
}

function writeBlock(files: FileSet, { id, itself, others }: Block): void {
  const output = files.of('output');
  const header = Buffer.from(
    JSON.stringify({
      resourceType: 'Parameters',
      parameter: [{ name: 'header', valueReference: { reference: `Patient/${id}` } }],
    }),
  );
  output.header(header);
  for (const line of itself ? [itself, ...others] : others) output.line(line, 0, line.length);
}
