import { Worker as Thread } from 'node:worker_threads';
import { HeadwaterError } from '../base/errors.ts';
import { changesOf, loadedChange } from './change.ts';
import type { ChangePoint, KeyedChange } from './change.ts';
import type { RowRules } from './read-row.ts';
import type { SourceRow } from './presets/source-row.ts';
import type { Rendering } from './presets/rendering.ts';

/** A row of more bytes, old and new version together, is read in the thread. A smaller one takes a few ms. */
export const LARGE_BYTES = 256 << 10;
/** The bodies are outside of the heap. */
const YOUNG_MB = 16;

/** A row, or an old and a new one, to derive changes from: the arguments of `changesOf` and `loadedChange`. */
export type Derivation =
  | {
      readonly of: 'change';
      readonly old: SourceRow | undefined;
      readonly row: SourceRow | undefined;
      readonly point: ChangePoint;
    }
  | {
      readonly of: 'load';
      readonly operation: 'snapshot' | 'update';
      readonly row: SourceRow;
      readonly point: ChangePoint;
    };

/** The data that the thread starts with: the rules, in a form that can be sent. */
export interface ChangeThreadData {
  readonly maxBytes: number;
  readonly baseUrls: readonly string[];
  readonly rendering: Rendering | undefined;
}

export function derive(derivation: Derivation, rules: RowRules): KeyedChange[] {
  const { row, point } = derivation;
  if (derivation.of === 'change') return changesOf(derivation.old, row, point, rules);
  return [loadedChange(derivation.operation, derivation.row, point, rules)];
}

/**
 * Role: derives changes from rows. It reads large rows in a thread, so that the process answers meanwhile.
 * Invariant: the caller waits for each result, so changes keep the order of commits and one large row is in memory at a time.
 * A crash: when the thread ends, the call fails, and capture starts again from its position.
 */
export class ChangeDeriver {
  readonly #rules: RowRules;
  #thread: Thread | undefined;

  constructor(rules: RowRules) {
    this.#rules = rules;
  }

  /** Not before the promise of the last call has settled. */
  derive(derivation: Derivation): KeyedChange[] | Promise<KeyedChange[]> {
    const old = derivation.of === 'change' ? derivation.old?.body : undefined;
    const bytes = (old?.length ?? 0) + (derivation.row?.body?.length ?? 0);
    return bytes < LARGE_BYTES ? derive(derivation, this.#rules) : this.#inThread(derivation);
  }

  async close(): Promise<void> {
    await this.#thread?.terminate();
  }

  #inThread(derivation: Derivation): Promise<KeyedChange[]> {
    const thread = (this.#thread ??= this.#start());
    const { promise, resolve, reject } = Promise.withResolvers<KeyedChange[]>();
    const fail = (cause?: unknown): void =>
      reject(new HeadwaterError('unavailable', 'the thread that reads large resources has ended', { cause }));
    thread.once('message', resolve).once('error', fail).once('exit', fail);
    const sent = withOwnBodies(derivation);
    thread.postMessage(sent, bodiesOf(sent));
    return promise.finally(() => thread.off('message', resolve).off('error', fail).off('exit', fail));
  }

  #start(): Thread {
    const { maxBytes, references, rendering } = this.#rules;
    const workerData: ChangeThreadData = { maxBytes, baseUrls: references?.baseUrls ?? [], rendering };
    const thread = new Thread(new URL('./change-thread.ts', import.meta.url), {
      workerData,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    });
    const gone = (): void => {
      this.#thread = undefined;
    };
    return thread.once('error', gone).once('exit', gone);
  }
}

/** Copies the bodies, because they are views into the received bytes. The copies can be transferred to the thread. */
function withOwnBodies(derivation: Derivation): Derivation {
  if (derivation.of === 'load') return { ...derivation, row: withOwnBody(derivation.row) };
  const { old, row } = derivation;
  return { ...derivation, old: old && withOwnBody(old), row: row && withOwnBody(row) };
}

function withOwnBody(row: SourceRow): SourceRow {
  if (!row.body) return row;
  const copy = new ArrayBuffer(row.body.length);
  const body = Buffer.from(copy);
  row.body.copy(body);
  return { ...row, body };
}

function bodiesOf(derivation: Derivation): ArrayBuffer[] {
  const rows = [derivation.of === 'change' ? derivation.old : undefined, derivation.row];
  return rows.flatMap((row) => (row?.body ? [row.body.buffer as ArrayBuffer] : []));
}
