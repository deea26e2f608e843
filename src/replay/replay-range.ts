import type { ChangePeek, ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { TaskFilter } from '../events/tasks.ts';
import type { FileSet } from '../files/file-set.ts';
import type { RecordBatch } from '../log/log.ts';

/** Told after each batch: offsets passed. */
export type OnBatch = (offsets: number) => void;

export interface ReplayOptions {
  readonly codec: ResourceChangeCodec;
  readonly filter: TaskFilter;
  readonly files: FileSet;
  readonly onBatch: OnBatch;
}

/**
 * Replays one range, newest first: the first time a key is met is its newest version, and only that counts.
 *
 * | # | record                | then                                                      |
 * |---|-----------------------|-----------------------------------------------------------|
 * | 1 | key met before        | an older version: nothing                                 |
 * | 2 | not newer than `since`| nothing                                                   |
 * | 3 | delete                | under `since` a line of `deleted`, otherwise nothing      |
 * | 4 | with a body           | its bytes are a line of `output`                          |
 * | 5 | without a body        | a line of `error` names it                                |
 *
 * A key is remembered unless its record is of the first load: nothing older of it can be there. (Not so for `create`, which
 * may be an id that was deleted before.) So memory grows with the keys changed since the load, not with the data.
 */
export async function replayRange(
  batches: AsyncIterable<RecordBatch>,
  options: ReplayOptions,
): Promise<void> {
  const { codec, filter, files, onBatch } = options;
  const met = new Set<string>();
  for await (const batch of batches) {
    for (let i = batch.end - 1; i >= batch.begin; i--) {
      const key = met.size > 0 ? batch.keyText(i) : undefined;
      if (key !== undefined && met.has(key)) continue; // 1
      const value = batch.data.subarray(batch.valueStart(i), batch.valueEnd(i));
      const change = codec.peek(value);
      if (change.operation !== 'snapshot') met.add(key ?? batch.keyText(i));
      if (filter.since !== undefined && changedAt(change, codec) <= filter.since) continue; // 2
      if (change.operation === 'delete') {
        if (filter.since !== undefined) addLine(files, 'deleted', deletion(batch.key(i).toString())); // 3
      } else if (change.bodyStart >= 0) {
        files.of('output').line(change.bytes, change.bodyStart, change.bodyEnd); // 4
      } else {
        addLine(files, 'error', missing(batch.key(i).toString(), codec.decode(value).oversizeBytes)); // 5
      }
    }
    if (batch.end > batch.begin) onBatch(batch.offset(batch.end - 1) - batch.offset(batch.begin) + 1);
    await files.drain();
  }
}

/** What the first load found was committed at a time nobody knows now; the source's own lastUpdated is the nearest to it. */
function changedAt(change: ChangePeek, codec: ResourceChangeCodec): number {
  return change.operation === 'snapshot'
    ? (codec.decode(change.bytes).lastUpdated ?? change.stamp)
    : change.stamp;
}

function addLine(files: FileSet, kind: 'deleted' | 'error', resource: object): void {
  const line = Buffer.from(JSON.stringify(resource));
  files.of(kind).line(line, 0, line.length);
}

/** As the guide has it: a transaction Bundle whose entry is a DELETE. */
function deletion(key: string): object {
  return {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [{ request: { method: 'DELETE', url: key } }],
  };
}

function missing(key: string, oversizeBytes: number | null): object {
  const why =
    oversizeBytes === null
      ? 'the source holds no JSON for it'
      : `its ${oversizeBytes} bytes are over the limit`;
  const diagnostics = `${key} is not in this export: ${why}`;
  return { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'exception', diagnostics }] };
}
