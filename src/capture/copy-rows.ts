import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { HeadwaterError } from '../base/errors.ts';
import { parseTimestamp } from './source-mapping.ts';
import type { SourceRow, TableMapping } from './source-mapping.ts';

const SIGNATURE_BYTES = 19;
const FIELDS = 5;

/**
 * Every live row of a table as the client's transaction sees it, by `COPY … TO STDOUT (FORMAT binary)`: rows come as bytes,
 * nothing is escaped. Yields the rows of a network chunk together; memory is bounded by a chunk and one row.
 */
export async function* copyRows(client: pg.Client, mapping: TableMapping): AsyncIterable<SourceRow[]> {
  const stream = client.query(copyTo(`COPY (${selectRows(mapping)}) TO STDOUT (FORMAT binary)`));
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
      const end = rowEnd(data, at);
      if (end < 0) break;
      rows.push(parseRow(data, at));
      at = end;
    }
    const rest = data.subarray(at);
    pieces = rest.length > 0 ? [rest] : [];
    bytes = rest.length;
    wanted = rows.length > 0 ? 0 : bytes * 2; // a large row: do not join its chunks again for each new one
    if (rows.length > 0) yield rows;
  }
  yield* lastRows(Buffer.concat(pieces), mapping);
}

/** Reads the bytes that were left when the stream ended: whole rows, then the trailer. */
function* lastRows(data: Buffer, mapping: TableMapping): Iterable<SourceRow[]> {
  const rows: SourceRow[] = [];
  let at = 0;
  for (let end = rowEnd(data, at); end >= 0; end = rowEnd(data, at)) {
    rows.push(parseRow(data, at));
    at = end;
  }
  if (rows.length > 0) yield rows;
  const rest = data.subarray(at);
  if (rest.length !== 2 || rest.readInt16BE(0) !== -1)
    throw new HeadwaterError('corrupt', `COPY of ${mapping.table} ended in the middle of a row`);
}

function selectRows(mapping: TableMapping): string {
  const column = (name: string | null): string =>
    name === null ? 'NULL::text' : `${pg.escapeIdentifier(name)}::text`;
  const type =
    'column' in mapping.type
      ? column(mapping.type.column)
      : `${pg.escapeLiteral(mapping.type.constant)}::text`;
  const columns = [
    type,
    column(mapping.id),
    column(mapping.version),
    column(mapping.lastUpdated),
    column(mapping.body),
  ];
  const live = mapping.deleted === null ? '' : ` WHERE ${pg.escapeIdentifier(mapping.deleted)} IS NOT TRUE`;
  return `SELECT ${columns.join(', ')} FROM ${pg.escapeIdentifier(mapping.schema)}.${pg.escapeIdentifier(mapping.table)}${live}`;
}

/** Returns the end of the row that begins at `from`; -1 if the row is incomplete, or is the trailer. */
function rowEnd(data: Buffer, from: number): number {
  if (from + 2 > data.length || data.readInt16BE(from) !== FIELDS) return -1;
  let at = from + 2;
  for (let field = 0; field < FIELDS; field++) {
    if (at + 4 > data.length) return -1;
    at += 4 + Math.max(0, data.readInt32BE(at));
  }
  return at > data.length ? -1 : at;
}

function parseRow(data: Buffer, from: number): SourceRow {
  let at = from + 2;
  const next = (): Buffer | null => {
    const length = data.readInt32BE(at);
    at += 4 + Math.max(0, length);
    return length < 0 ? null : data.subarray(at - length, at);
  };
  const type = next()?.toString('utf8') ?? '';
  const id = next()?.toString('utf8') ?? '';
  const version = next()?.toString('utf8') ?? null;
  const lastUpdated = parseTimestamp(next()?.toString('utf8') ?? null);
  return { type, id, version, lastUpdated, body: next(), deleted: false };
}
