import type { ChangePeek, ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import { operationOutcome } from '../fhir/operation-outcome.ts';
import type { RecordBatch } from '../log/log.ts';
import type { Selector, Version } from './selection.ts';

/** Told after each batch: offsets passed. */
export type OnBatch = (offsets: number) => void;

export interface ReplayOptions {
  readonly codec: ResourceChangeCodec;
  readonly selection: Selector;
  /** Whether the selection goes by ids and patients; otherwise they are not read. */
  readonly byPatients: boolean;
  readonly sink: Sink;
  readonly onBatch: OnBatch;
}

/** Where what was found goes. */
export interface Sink {
  /** A selected resource; its bytes are valid until the next drain. */
  returned(change: ChangePeek, key: string): void;
  /** A line of `deleted` or `error` about the resource of that key. */
  reported(kind: 'deleted' | 'error', key: string, line: object): void;
  /** After each batch: hands on what was added. */
  drain(): Promise<void>;
}

const NOBODY: readonly string[] = [];

/**
 * Replays one partition, newest first: the first time a key is met is its newest version, and only that counts (unless the
 * selection watches for older ones).
 *
 * | # | record                | then                                                      |
 * |---|-----------------------|-----------------------------------------------------------|
 * | 1 | key met before        | an older version: nothing, or what the selection watches  |
 * | 2 | not selected          | nothing                                                   |
 * | 3 | selected as deleted   | a line of `deleted`                                       |
 * | 4 | with a body           | its bytes, or what is made of them, are a line of `output`|
 * | 5 | without a body        | a line of `error` names it                                |
 *
 * A key is remembered unless its record is of the first load: nothing older of it can be there. (Not so for `create`, which
 * may be an id that was deleted before.) So memory grows with the keys changed since the load, not with the data.
 */
export async function replayRange(
  batches: AsyncIterable<RecordBatch>,
  options: ReplayOptions,
): Promise<void> {
  const { codec, selection, sink, onBatch } = options;
  const met = new Set<string>();
  const watched = new Set<string>();
  for await (const batch of batches) {
    for (let i = batch.end - 1; i >= batch.begin; i--) {
      const key = met.size > 0 ? batch.keyText(i) : undefined;
      const older = key !== undefined && met.has(key);
      if (older && !watched.has(key)) continue; // 1
      const value = batch.data.subarray(batch.valueStart(i), batch.valueEnd(i));
      const change = codec.peek(value);
      if (change.operation !== 'snapshot' && !older) met.add(key ?? batch.keyText(i));
      const version = versionOf(change, options);
      const id = options.byPatients ? idOf(key ?? batch.keyText(i)) : '';
      const fate = older ? selection.older(id, version) : selection.newest(id, version);
      if (fate === 'watch' || fate === 'output-and-watch') {
        if (!older && change.operation !== 'snapshot') watched.add(key ?? batch.keyText(i));
      } else if (older) watched.delete(key);
      if (fate === 'watch' || fate === 'nothing') continue; // 2
      const name = batch.key(i).toString();
      if (fate === 'deleted')
        sink.reported('deleted', name, deletion(name)); // 3
      else if (change.bodyStart >= 0)
        sink.returned(change, name); // 4
      else sink.reported('error', name, missing(name, codec.decode(value))); // 5
    }
    if (batch.end > batch.begin) onBatch(batch.offset(batch.end - 1) - batch.offset(batch.begin) + 1);
    await sink.drain();
  }
}

function versionOf(change: ChangePeek, { codec, byPatients, selection }: ReplayOptions): Version {
  const { operation, stamp } = change;
  if (!byPatients && (operation !== 'snapshot' || !selection.timed))
    return { operation, changedAt: stamp, patients: NOBODY, leftPatients: NOBODY };
  const { lastUpdated, patients, leftPatients } = codec.decode(change.bytes);
  // Nobody knows when a resource that the first load found was committed: by its own lastUpdated, but not after the load.
  const changedAt = operation === 'snapshot' ? Math.min(lastUpdated ?? stamp, stamp) : stamp;
  return { operation, changedAt, patients, leftPatients };
}

function idOf(key: string): string {
  return key.slice(key.indexOf('/') + 1);
}

/** As the guide has it: a transaction Bundle whose entry is a DELETE. */
function deletion(key: string): object {
  return {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [{ request: { method: 'DELETE', url: key } }],
  };
}

function missing(key: string, { problem, oversizeBytes }: ResourceChange): object {
  // Of records that older versions wrote, only the size is known.
  const unsaid = oversizeBytes === null ? 'the source holds no JSON for it' : `it has ${oversizeBytes} bytes`;
  const why = problem ?? unsaid;
  const diagnostics = `${key} is not in this export: ${why}`;
  return operationOutcome('error', 'exception', diagnostics);
}
