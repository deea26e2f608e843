import type { RecordBatch } from '../../log.ts';
import { openBatch } from './record-batch-reader.ts';
import type { RawBatch, RecordSet } from './record-batch-reader.ts';

/** A piece of a partition: its committed batches, oldest first, and where the next piece begins. */
export interface Piece {
  readonly batches: readonly RawBatch[];
  /** First offset that any fetched batch covers; below the asked one when that lies inside a batch. */
  readonly first: number;
  readonly next: number;
  /** Bytes fetched, before anything was left out. */
  readonly bytes: number;
  /** Frees its memory. The caller must not use the piece any more. */
  readonly release: () => void;
}

/** Reads a piece. Waits until all transactions before `until` are decided (committed or aborted). */
export type FetchPiece = (at: { from: number; maxBytes: number; until: number }) => Promise<Piece>;

/** Fetched bytes of a block. The log is compressed by a factor of up to twenty. */
const BLOCK_BYTES = 2 << 20;
/** Offsets of the first block, when the size of records is not known yet. */
const FIRST_SPAN = 8_192;
const MAX_SPAN = 1 << 22;
/** Bytes to ask for a few offsets: some batches, and a record's size for each offset, but never more than a block. */
const LEAST_BYTES = 64 << 10;
const RECORD_BYTES = 1 << 10;

interface Block {
  readonly start: number;
  readonly batches: readonly RawBatch[];
  readonly span: number;
  readonly release: () => void;
}

/**
 * Reads a range from its end to its beginning. Kafka only reads forward, so the range is taken in blocks of about
 * BLOCK_BYTES, the last block first: a span of offsets before the block's end is read forward, and when it turns out to
 * hold too much, its older part is let go and read again as part of the next block.
 */
export async function* readBackward(
  fetch: FetchPiece,
  range: { from: number; to: number },
  { blockBytes = BLOCK_BYTES, firstSpan = FIRST_SPAN } = {},
): AsyncIterable<RecordBatch> {
  if (range.from >= range.to) return;
  const blocks = new BlockReader(fetch, range.from, blockBytes);
  let next: Promise<Block> | undefined = blocks.read(range.to, firstSpan);
  while (next) {
    const block: Block = await next;
    next = block.start > range.from ? blocks.read(block.start, block.span) : undefined;
    next?.catch(() => undefined); // it is awaited in its turn
    yield* openBackward(block.batches, range);
    block.release();
  }
}

class BlockReader {
  readonly #fetch: FetchPiece;
  readonly #from: number;
  readonly #bytes: number;

  constructor(fetch: FetchPiece, from: number, bytes: number) {
    this.#fetch = fetch;
    this.#from = from;
    this.#bytes = bytes;
  }

  /** The block that ends at `end`, of about `span` offsets. */
  async read(end: number, span: number): Promise<Block> {
    let start = Math.max(this.#from, end - span);
    const pieces: Piece[] = [];
    let held = 0;
    let total = 0;
    for (let at = start; at < end;) {
      const maxBytes = Math.min(this.#bytes, LEAST_BYTES + (end - at) * RECORD_BYTES);
      const piece = await this.#fetch({ from: at, maxBytes, until: end });
      if (piece.next === at) break; // nothing is left of the rest
      if (pieces.length === 0) start = Math.max(this.#from, Math.min(start, piece.first));
      pieces.push(piece);
      held += piece.bytes;
      total += piece.bytes;
      at = piece.next;
      while (held > 2 * this.#bytes && pieces.length > 1) {
        const [oldest] = pieces.splice(0, 1);
        if (!oldest) break;
        held -= oldest.bytes;
        start = oldest.next;
        oldest.release();
      }
    }
    const batches = pieces.flatMap((piece) => piece.batches).filter((batch) => batch.baseOffset < end);
    const wanted = Math.round((span * this.#bytes) / Math.max(total, 1));
    return {
      start,
      batches,
      span: Math.min(MAX_SPAN, 8 * span, Math.max(1, wanted)),
      release: () => pieces.forEach((piece) => piece.release()),
    };
  }
}

function* openBackward(
  batches: readonly RawBatch[],
  range: { from: number; to: number },
): Iterable<RecordBatch> {
  for (const batch of batches.toReversed()) {
    const records = openBatch(batch);
    yield within(records, range);
    records.release();
  }
}

/** Only the batches at the two ends of a range can reach beyond it. */
function within(records: RecordSet, range: { from: number; to: number }): RecordBatch {
  let begin = 0;
  let end = records.count;
  while (begin < end && records.offset(begin) < range.from) begin++;
  while (end > begin && records.offset(end - 1) >= range.to) end--;
  records.begin = begin;
  records.end = end;
  return records;
}
