import type { ChangePeek, ResourceChangeCodec } from '../events/resource-change-codec.ts';
import { isUnread } from '../events/resource-change.ts';
import { operationOutcome } from '../fhir/operation-outcome.ts';
import type { RecordBatch } from '../log/log.ts';
import { newestFirst } from '../log/newest-first.ts';
import type { Remember, Visitor } from '../log/newest-first.ts';
import { problemOf, problemOutcome, withoutBody } from './problem.ts';
import type { Problem } from './problem.ts';
import type { Fate, Selector, Version } from './selection.ts';

/** Called after each batch with the number of offsets passed. */
export type OnBatch = (offsets: number) => void;

export interface ReplayOptions {
  readonly codec: ResourceChangeCodec;
  readonly selection: Selector;
  /** Whether the selection needs ids and patients. If not, they are not read. */
  readonly byPatients: boolean;
  readonly sink: Sink;
  readonly onBatch: OnBatch;
  /** Memory for keys; the default if absent. */
  readonly keyBytes?: number | undefined;
}

/** The reason why a selected resource was not returned: a filter, or a problem. */
export interface LeftOut {
  readonly problem: Problem | undefined;
}

/** The receiver of the resources that replay finds. */
export interface Sink {
  /** A selected resource; its bytes are valid until the next drain. undefined = it is returned. */
  returned(change: ChangePeek, key: string): LeftOut | undefined;
  /** Whether `returned` would return it. */
  returns(change: ChangePeek): boolean;
  /** A line of `deleted` or `error` about the resource of that key. */
  reported(kind: 'deleted' | 'error', key: string, line: object): void;
  /** Called after each batch. Sends the added lines on. */
  drain(): Promise<void>;
}

/** The records of a range, newest first. */
export interface Replayed {
  /** Called again for each further pass; records from `below` on need not come again. */
  readonly open: (below: number) => AsyncIterable<RecordBatch>;
  readonly from: number;
}

const NO_PATIENTS: readonly string[] = [];

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
 * | 5 | left out by a filter  | the selection decides whether its client had it           |
 * | 6 | without a body, or nothing can be made of it | a line of `error` names it; then as 5 |
 * | 7 | cannot be read at all | a line of `error` names it, and under `since` one of `deleted`; no name if rights decide |
 *
 * A key is remembered unless its record is of the first load: nothing older of it can be there. (Not so for `create`, which
 * may be an id that was deleted before.)
 */
export async function replayRange({ open, from }: Replayed, options: ReplayOptions): Promise<void> {
  const { sink, onBatch, keyBytes } = options;
  for await (const batch of newestFirst({ open, from, visitor: new Replay(options), keyBytes })) {
    if (batch.end > batch.begin) onBatch(batch.offset(batch.end - 1) - batch.offset(batch.begin) + 1);
    await sink.drain();
  }
}

class Replay implements Visitor {
  readonly #options: ReplayOptions;
  #withheld = false;

  constructor(options: ReplayOptions) {
    this.#options = options;
  }

  visit(batch: RecordBatch, i: number, older: boolean): Remember {
    const { codec, byPatients, selection } = this.#options;
    let change: ChangePeek;
    let version: Version;
    try {
      change = codec.peek(batch.data.subarray(batch.valueStart(i), batch.valueEnd(i)));
      version = this.#versionOf(change);
    } catch (error) {
      const problem = problemOf('not-read', error);
      if (!older) this.#notRead(batch.key(i).toString(), problem); // 7
      return older ? 'doubt' : 'skip';
    }
    const id = byPatients ? idOf(batch.keyText(i)) : '';
    let fate = older ? selection.older(id, version) : selection.newest(id, version);
    const leftOut = (): Fate => selection.leftOut?.(id, version) ?? 'nothing';
    if (fate === 'output' || fate === 'output-and-watch') {
      const returned = this.#output(change, batch.keyText(i));
      if (!returned && fate === 'output') fate = leftOut(); // 5, 6
    }
    if (fate === 'later') fate = this.#returns(change) ? 'nothing' : leftOut();
    if (fate === 'held') fate = this.#returns(change) ? 'deleted' : 'nothing';
    if (fate === 'deleted') this.#deleted(batch.key(i).toString()); // 3
    return remembered(fate, change.operation === 'snapshot' && !older);
  }

  /** The versions that would tell are gone. A client of restricted rights may never have been permitted the resource, so its id is not told. */
  doubted(batch: RecordBatch, i: number): void {
    const { selection, sink } = this.#options;
    const key = batch.key(i).toString();
    if (!selection.restricted) return this.#deleted(key);
    if (this.#withheld) return;
    this.#withheld = true;
    sink.reported('error', key, WITHHELD);
  }

  /** Whether it is returned. */
  #output(change: ChangePeek, key: string): boolean {
    const { sink, codec, selection } = this.#options;
    const leftOut =
      change.bodyStart < 0
        ? { problem: withoutBody(codec.decode(change.bytes)) }
        : sink.returned(change, key); // 4
    if (leftOut?.problem)
      sink.reported('error', key, problemOutcome(selection.limited ? undefined : key, leftOut.problem)); // 6
    return leftOut === undefined;
  }

  #returns(change: ChangePeek): boolean {
    return change.bodyStart >= 0 && this.#options.sink.returns(change);
  }

  #deleted(key: string): void {
    this.#options.sink.reported('deleted', key, deletion(key));
  }

  #notRead(key: string, problem: Problem): void {
    const { sink, selection } = this.#options;
    sink.reported('error', key, problemOutcome(selection.restricted ? undefined : key, problem));
    if (selection.increment && !selection.restricted) this.#deleted(key);
  }

  #versionOf(change: ChangePeek): Version {
    const { codec, byPatients, selection } = this.#options;
    const { operation, stamp } = change;
    if (!byPatients && (operation !== 'snapshot' || !selection.timed))
      return { operation, changedAt: stamp, patients: NO_PATIENTS, leftPatients: NO_PATIENTS };
    const decoded = codec.decode(change.bytes);
    const { lastUpdated, patients, leftPatients } = decoded;
    // The commit time of a resource that the first load found is unknown: by its own lastUpdated, but not after the load.
    const changedAt = operation === 'snapshot' ? Math.min(lastUpdated ?? stamp, stamp) : stamp;
    return { operation, changedAt, patients, leftPatients, unread: isUnread(decoded) };
  }
}

const WITHHELD = operationOutcome(
  'information',
  'incomplete',
  'Resources that you may have are not named in deleted, because the log no longer tells whether you were permitted them: take an export without _since.',
);

function remembered(fate: Fate, nothingOlder: boolean): Remember {
  if (nothingOlder) return 'ask';
  if (fate === 'watch' || fate === 'output-and-watch') return 'watch';
  return fate === 'doubtful' ? 'doubt' : 'skip';
}

function idOf(key: string): string {
  return key.slice(key.indexOf('/') + 1);
}

/** Returns the line of a deletion as the guide defines it: a transaction Bundle whose entry is a DELETE. */
function deletion(key: string): object {
  return {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: [{ request: { method: 'DELETE', url: key } }],
  };
}
