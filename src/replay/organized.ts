import { hash32 } from '../base/hash32.ts';
import type { ExportFile } from '../events/status.ts';
import type { Organized } from '../events/tasks.ts';
import type { FileSet } from '../files/file-set.ts';
import { NOWHERE, report, shaped } from './file-sink.ts';
import { replayRanges } from './replay-ranges.ts';
import type { Sink } from './replay-range.ts';
import type { TaskRun } from './task-run.ts';
import type { Lines } from './shape.ts';

/** The resources of one patient. */
interface Block {
  itself: Buffer | undefined;
  readonly others: Buffer[];
}

/**
 * Output in blocks: a header that names a patient, the patient, then whatever is in the patient's compartment
 * (https://hl7.org/fhir/uv/bulkdata, "organizeOutputBy"). A resource of several patients is in the block of each. The task
 * has its share of the patients, small enough to be held in memory.
 */
export async function replayOrganized(run: TaskRun, organized: Organized): Promise<ExportFile[]> {
  const { task, cohort, codec, signal } = run;
  const blocks = new Map<string, Block>();
  const files = run.filesOf(organized.by);
  const mine = (text: string): boolean => hash32(text) % organized.of === organized.slice;
  await replayRanges(run, task.ranges, ({ type }) => {
    const shape = run.shapeOf(type);
    const sink: Sink = {
      returned: (change, key) => {
        const { patients } = codec.decode(change.bytes);
        const owners = patients.filter((id) => mine(id) && (cohort?.members?.has(id) ?? true));
        // Also without a block of its own this task has to find out whether there is something to report.
        return shaped(shape, owners.length > 0 ? intoBlocks(blocks, owners, key) : NOWHERE, change);
      },
      returns: (change) => shaped(shape, NOWHERE, change) === undefined,
      // Every task of the job meets it; it is one task's to report.
      reported: (kind, key, resource) => {
        if (mine(key)) report(files, kind, resource);
      },
      drain: () => files.drain(),
    };
    return { selection: run.selectionOf(type), sink, byPatients: true };
  });
  for (const [id, block] of [...blocks].sort(([a], [b]) => (a < b ? -1 : 1))) {
    writeBlock(files, id, block);
    await files.drain(); // a file ends between two blocks, never inside one
    signal.throwIfAborted();
  }
  return files.finish();
}

function intoBlocks(blocks: Map<string, Block>, owners: readonly string[], key: string): Lines {
  return {
    line: (data, start, end) => {
      const line = Buffer.from(data.subarray(start, end)); // a copy: the data is reused
      for (const id of owners) {
        let block = blocks.get(id);
        if (!block) blocks.set(id, (block = { itself: undefined, others: [] }));
        if (key === `Patient/${id}`) block.itself = line;
        else block.others.push(line);
      }
    },
  };
}

function writeBlock(files: FileSet, id: string, { itself, others }: Block): void {
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
