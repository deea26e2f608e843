import type { ExportFile, FileKind } from '../events/status.ts';
import type { OutputFormat } from '../events/request.ts';
import type { FileLayout } from '../events/tasks.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { fileKey } from './file-key.ts';
import { NdjsonFile } from './ndjson-file.ts';

export interface FileSetOptions {
  readonly store: ObjectStore;
  /** Folder of the job. */
  readonly folder: string;
  readonly taskId: string;
  readonly outputFormat: OutputFormat;
  readonly layout: FileLayout;
  /** Raw bytes after which a file is ended and the next begun. */
  readonly fileBytes: number;
}

const LINE_TYPE: Readonly<Record<Exclude<FileKind, 'output'>, string>> = {
  deleted: 'Bundle',
  error: 'OperationOutcome',
};

interface OpenFile {
  readonly key: string;
  readonly file: NdjsonFile;
}

/**
 * The files of one task and one resource type. It turns lines into files, and begins a new file when the last one is large enough.
 * Names depend on the task alone, so each attempt writes the same bytes under the same names.
 */
export class FileSet {
  readonly #options: FileSetOptions;
  readonly #type: string;
  readonly #kinds = new Map<FileKind, KindFiles>();

  constructor(options: FileSetOptions, type: string) {
    this.#options = options;
    this.#type = type;
  }

  of(kind: FileKind): KindFiles {
    let files = this.#kinds.get(kind);
    if (!files) this.#kinds.set(kind, (files = new KindFiles(this.#options, this.#type, kind)));
    return files;
  }

  /** Sends the added lines to the store. */
  async drain(): Promise<void> {
    for (const files of this.#kinds.values()) await files.drain();
  }

  /** Ends every file. Returns them in the order output, deleted, error. There are no empty files. */
  async finish(): Promise<ExportFile[]> {
    const written: ExportFile[] = [];
    for (const kind of ['output', 'deleted', 'error'] as const)
      written.push(...((await this.#kinds.get(kind)?.finish()) ?? []));
    return written;
  }

  async abort(): Promise<void> {
    for (const files of this.#kinds.values()) await files.abort();
  }
}

/** Files that are being ended while the next one is filled. */
const MAX_ENDING = 2;

/** The files of one kind, one after the other. */
export class KindFiles {
  readonly #options: FileSetOptions;
  readonly #type: string;
  readonly #kind: FileKind;
  readonly #ended: Promise<ExportFile>[] = [];
  #current: OpenFile | undefined;

  constructor(options: FileSetOptions, type: string, kind: FileKind) {
    this.#options = options;
    this.#type = type;
    this.#kind = kind;
  }

  /** Adds data[start, end) as a line. Call `drain` before the data is reused. */
  line(data: Buffer, start: number, end: number): void {
    this.#current ??= this.#begin();
    this.#current.file.line(data, start, end);
  }

  /** Adds a line that is no resource. */
  header(line: Buffer): void {
    this.#current ??= this.#begin();
    this.#current.file.header(line);
  }

  async drain(): Promise<void> {
    if (!this.#current) return;
    await this.#current.file.drain();
    if (this.#current.file.rawBytes < this.#options.fileBytes) return;
    this.#end(this.#current);
    await this.#ended.at(-1 - MAX_ENDING);
  }

  async finish(): Promise<readonly ExportFile[]> {
    if (this.#current) this.#end(this.#current);
    return Promise.all(this.#ended);
  }

  async abort(): Promise<void> {
    await this.#current?.file.abort();
    this.#current = undefined;
    await Promise.allSettled(this.#ended);
  }

  #begin(): OpenFile {
    const { store, outputFormat } = this.#options;
    const key = fileKey(this.#options, this.#kind, this.#type, this.#ended.length + 1);
    return { key, file: new NdjsonFile(store, key, outputFormat === 'ndjson+gzip') };
  }

  /** Ends the file without waiting: a store needs time to make a file durable, and the next file can be filled meanwhile. */
  #end({ key, file }: OpenFile): void {
    this.#current = undefined;
    const type = this.#kind === 'output' ? this.#type : LINE_TYPE[this.#kind];
    const ended = file.finish().then((written) => ({ kind: this.#kind, type, key, ...written }));
    ended.catch(() => file.abort()); // its caller sees the rejection
    this.#ended.push(ended);
  }
}
