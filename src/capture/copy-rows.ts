import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { HeadwaterError } from '../base/errors.ts';
import type { LoadPart } from './load-ranges.ts';
import type { SourceRow } from './presets/source-row.ts';

const SIGNATURE_BYTES = 19;
/** type, id, version, lastUpdated, body. */
const FIELDS = 5;

/**
 * The resources of a load query as the client's transaction sees them, by `COPY … TO STDOUT (FORMAT binary)`: rows come as bytes,
 * nothing is escaped. Yields the rows of a network chunk together; memory is bounded by a chunk and one row.
 */
export async function* copyRows(client: pg.Client, query: LoadPart): AsyncIterable<SourceRow[]> {
  const stream = client.query(copyTo(`COPY (${query.sql}) TO STDOUT (FORMAT binary)`));
  const fields = FIELDS + query.extra.length;
  let pieces: Buffer[] = [];
  let bytes = 0;
  let wanted = SIGNATURE_BYTES;
  let started = false;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    pieces.push(chunk);
    bytes += chunk.length;
    if (bytes < wanted) continue;
    const data = pieces.length === 1 ? chunk : Buffer.concat(pieces);
    let at = started ? 0 : SIGNATURE_BYTES + data.readInt32BE(SIGNATURE_BYTES - 4);
    started = true;
    const rows: SourceRow[] = [];
    for (;;) {
      const end = rowEnd(data, at, fields);
      if (end < 0) break;
      rows.push(parseRow(data, at, query));
      at = end;
    }
    const rest = data.subarray(at);
    pieces = rest.length > 0 ? [rest] : [];
    bytes = rest.length;
    wanted = rows.length > 0 ? 0 : bytes * 2; // a large row: do not join its chunks again for each new one
    if (rows.length > 0) yield rows;
  }
  yield* lastRows(Buffer.concat(pieces), query, fields);
}

/** Reads the bytes that were left when the stream ended: whole rows, then the trailer. */
function* lastRows(data: Buffer, query: LoadPart, fields: number): Iterable<SourceRow[]> {
  const rows: SourceRow[] = [];
  let at = 0;
  for (let end = rowEnd(data, at, fields); end >= 0; end = rowEnd(data, at, fields)) {
    rows.push(parseRow(data, at, query));
    at = end;
  }
  if (rows.length > 0) yield rows;
  const rest = data.subarray(at);
  if (rest.length !== 2 || rest.readInt16BE(0) !== -1)
    throw new HeadwaterError('corrupt', `COPY of ${query.from.table} ended in the middle of a row`);
}

/** Returns the end of the row that begins at `from`; -1 if the row is incomplete, or is the trailer. */
function rowEnd(data: Buffer, from: number, fields: number): number {
  if (from + 2 > data.length || data.readInt16BE(from) !== fields) return -1;
  let at = from + 2;
  for (let field = 0; field < fields; field++) {
    if (at + 4 > data.length) return -1;
    at += 4 + Math.max(0, data.readInt32BE(at));
  }
  return at > data.length ? -1 : at;
}

function parseRow(data: Buffer, from: number, query: LoadPart): SourceRow {
  let at = from + 2;
  const next = (): Buffer | null => {
    const length = data.readInt32BE(at);
    at += 4 + Math.max(0, length);
    return length < 0 ? null : data.subarray(at - length, at);
  };
  const text = (): string | null => next()?.toString('utf8') ?? null;
  const [type, id, version, updated] = [text() ?? '', text() ?? '', text(), text()];
  const body = next();
  const extra = Object.fromEntries(query.extra.map((name) => [name, text()]));
  return query.read({ type, id, version, updated, body, extra });
}
