import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { pipeline } from 'node:stream';
import pg from 'pg';
import type { Clock } from '../base/clock.ts';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import { formatInstant } from '../fhir/instant.ts';
import { copyRow, linesOf } from './resource-lines.ts';
import { SourceTable } from './source-table.ts';

export interface LoadOptions {
  /** A folder with `*.ndjson` and `*.ndjson.gz`, which are read in the order of their names, or one such file. */
  readonly directory: string;
  readonly sourceUrl: string;
  /** `schema.table`; created if it is missing. */
  readonly table: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}

export interface LoadProgress {
  /** The file being read. */
  readonly file: string;
  /** 0 to 1, by bytes read from disk. */
  readonly fraction: number;
  /** Resources read and stored so far. */
  readonly rows: number;
  /** Bytes of their bodies. */
  readonly bytes: number;
  readonly rowsPerSecond: number;
  readonly bytesPerSecond: number;
}

export interface LoadResult {
  readonly files: number;
  readonly rows: number;
  /** Rows that were new or different. */
  readonly changed: number;
  readonly bytes: number;
  readonly seconds: number;
}

/** Rows of one COPY and one transaction. Two such batches are in memory. */
const BATCH_BYTES = 8 * 1024 * 1024;

/**
 * Streams resources into the source table, inserting or replacing. A load that was interrupted is repeated whole; what is
 * already there is found to be the same and is not written again.
 * @throws `bad-request` that names file and line, `unavailable` without a database
 */
export async function loadDirectory(options: LoadOptions): Promise<LoadResult> {
  const files = await filesOf(options.directory);
  const client = new pg.Client({ connectionString: options.sourceUrl, application_name: 'headwater load' });
  client.on('error', () => undefined); // the running query rejects with it
  await client.connect().catch((cause: unknown) => {
    throw new HeadwaterError('unavailable', `the source database does not answer: ${messageOf(cause)}`, {
      cause,
    });
  });
  try {
    const load = new Load(await SourceTable.open(client, options.table), files, options);
    for (const file of files) await load.file(file);
    return load.result();
  } finally {
    await client.end();
  }
}

interface NdjsonFile {
  readonly path: string;
  readonly size: number;
}

const NDJSON = /\.ndjson(\.gz)?$/;

async function filesOf(directory: string): Promise<NdjsonFile[]> {
  const unreadable = (cause: unknown): never => {
    throw new HeadwaterError('bad-request', `${directory} cannot be read: ${messageOf(cause)}`, { cause });
  };
  const given = await stat(directory).catch(unreadable);
  if (!given.isDirectory()) {
    if (NDJSON.test(directory)) return [{ path: directory, size: given.size }];
    throw new HeadwaterError('bad-request', `${directory} is neither a folder nor *.ndjson or *.ndjson.gz`);
  }
  const names = await readdir(directory).catch(unreadable);
  const wanted = names.filter((name) => NDJSON.test(name)).sort();
  if (wanted.length === 0)
    throw new HeadwaterError('bad-request', `${directory} holds no *.ndjson or *.ndjson.gz`);
  const paths = wanted.map((name) => join(directory, name));
  return Promise.all(paths.map(async (path) => ({ path, size: (await stat(path)).size })));
}

class Load {
  readonly #table: SourceTable;
  readonly #options: LoadOptions;
  readonly #files: number;
  readonly #size: number;
  readonly #begun: number;
  /** The batch that is being written while the next one is read. */
  #writing: Promise<void> = Promise.resolve();
  #filesRead = 0;
  #rows = 0;
  #changed = 0;
  #bytes = 0;

  constructor(table: SourceTable, files: readonly NdjsonFile[], options: LoadOptions) {
    this.#table = table;
    this.#options = options;
    this.#files = files.length;
    this.#size = files.reduce((sum, file) => sum + file.size, 0);
    this.#begun = options.clock();
  }

  async file({ path, size }: NdjsonFile): Promise<void> {
    const { signal, clock } = this.#options;
    const raw = createReadStream(path, { highWaterMark: 1024 * 1024 });
    const chunks = path.endsWith('.gz')
      ? pipeline(raw, createGunzip({ chunkSize: 256 * 1024 }), () => undefined)
      : raw;
    const now = formatInstant(clock());
    let batch = new Batch();
    let number = 0;
    try {
      for await (const lines of linesOf(chunks)) {
        signal.throwIfAborted();
        for (const line of lines) {
          number++;
          if (line.length > 0) batch.add({ text: copyRow(line, now), bodyBytes: line.length, number });
        }
        if (batch.size < BATCH_BYTES) continue;
        await this.#write(batch, path, this.#filesRead + raw.bytesRead);
        batch = new Batch();
      }
      await this.#write(batch, path, this.#filesRead + size);
      await this.#writing;
    } catch (error) {
      await this.#writing.catch(() => undefined);
      throw failureIn(basename(path), number, error);
    } finally {
      raw.destroy();
    }
    this.#filesRead += size;
  }

  result(): LoadResult {
    return {
      files: this.#files,
      rows: this.#rows,
      changed: this.#changed,
      bytes: this.#bytes,
      seconds: this.#seconds(),
    };
  }

  async #write(batch: Batch, path: string, read: number): Promise<void> {
    await this.#writing;
    if (batch.rows === 0) return;
    this.#writing = this.#store(batch, basename(path)).then((changed) => {
      this.#rows += batch.rows;
      this.#bytes += batch.bodyBytes;
      this.#changed += changed;
      this.#tell(basename(path), read);
    });
    this.#writing.catch(() => undefined); // the next await throws it
  }

  /** Stores a batch. If PostgreSQL refuses one of its rows, halving finds that row; the others are stored. */
  async #store(batch: Batch, file: string): Promise<number> {
    try {
      return await this.#table.write(batch.encode());
    } catch (error) {
      const why = refusalOf(error);
      if (why === undefined) throw error;
      const [first, second] = batch.halves();
      if (!second) {
        const line = `line ${String(first.firstLine)}`;
        const message = why === NOT_UTF8 ? `${file} ${why}: ${line}` : `${file}, ${line}: ${why}`;
        throw new HeadwaterError('bad-request', message, { subject: file });
      }
      return (await this.#store(first, file)) + (await this.#store(second, file));
    }
  }

  #tell(file: string, read: number): void {
    const seconds = this.#seconds();
    this.#options.onProgress?.({
      file,
      fraction: this.#size === 0 ? 1 : Math.min(1, read / this.#size),
      rows: this.#rows,
      bytes: this.#bytes,
      rowsPerSecond: Math.round(this.#rows / seconds),
      bytesPerSecond: Math.round(this.#bytes / seconds),
    });
  }

  #seconds(): number {
    return Math.max(1, this.#options.clock() - this.#begun) / 1000;
  }
}

interface BatchRow {
  /** In COPY's text format. */
  readonly text: string;
  readonly bodyBytes: number;
  /** Number of its line in the file. */
  readonly number: number;
}

class Batch {
  readonly #rows: BatchRow[] = [];
  size = 0;
  bodyBytes = 0;

  add(row: BatchRow): void {
    this.#rows.push(row);
    this.size += row.text.length;
    this.bodyBytes += row.bodyBytes;
  }

  get rows(): number {
    return this.#rows.length;
  }

  get firstLine(): number {
    return this.#rows[0]?.number ?? 0;
  }

  /** Returns the two halves of a batch, or the batch itself if it has one row. */
  halves(): readonly [Batch, Batch?] {
    if (this.rows < 2) return [this];
    const halves: [Batch, Batch] = [new Batch(), new Batch()];
    for (const [i, row] of this.#rows.entries()) halves[i < this.rows / 2 ? 0 : 1].add(row);
    return halves;
  }

  encode(): Buffer {
    return Buffer.from(this.#rows.map(({ text }) => text).join(''), 'latin1');
  }
}

/**
 * Why PostgreSQL does not take what a row holds (classes 22, 23 and 54 of its codes, and what a trigger raises); undefined for any
 * other error. Its message only up to the first value in it, and nothing of its details: both can show the resource.
 */
function refusalOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === NOT_IN_ENCODING) return NOT_UTF8;
  if (!/^(22|23|54)...$|^P0001$/.test(code)) return undefined;
  return code === 'P0001'
    ? 'a trigger of the table refuses it'
    : `PostgreSQL refuses it: ${code}, ${firstWords(error)}`;
}

function firstWords(error: unknown): string {
  return (messageOf(error).split(/[:"'({[]/)[0] ?? '').trim();
}

/** PostgreSQL's code for bytes that are invalid in its encoding. */
const NOT_IN_ENCODING = '22021';
const NOT_UTF8 = 'is not UTF-8';

function failureIn(file: string, line: number, cause: unknown): unknown {
  if (cause instanceof HeadwaterError && cause.code === 'bad-request') {
    if (cause.subject !== undefined) return cause; // its subject is the line
    return new HeadwaterError('bad-request', `${file}, line ${String(line)}: ${cause.message}`, { cause });
  }
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'Z_DATA_ERROR' || code === 'Z_BUF_ERROR') {
    return new HeadwaterError('bad-request', `${file} is not gzip or is cut short`, { cause });
  }
  // The details of an error of PostgreSQL can show rows.
  if (cause instanceof Error && 'severity' in cause && typeof code === 'string')
    return new HeadwaterError('refused', `PostgreSQL refuses ${file}: ${code}, ${firstWords(cause)}`);
  return cause;
}
