import type { Task } from '../events/tasks.ts';
import { FileSet } from '../files/file-set.ts';
import type { FileSetOptions } from '../files/file-set.ts';

/** The files of a task, by type. If the task fails, all of them are removed. */
export class TaskFiles {
  readonly #options: FileSetOptions;
  readonly #sets: FileSet[] = [];

  constructor(
    { folder, taskId, outputFormat, layout }: Task,
    { store, fileBytes }: Pick<FileSetOptions, 'store' | 'fileBytes'>,
  ) {
    this.#options = { folder, taskId, outputFormat, layout, store, fileBytes };
  }

  /** Opens the files of a type. */
  of(type: string): FileSet {
    const files = new FileSet(this.#options, type);
    this.#sets.push(files);
    return files;
  }

  async abort(): Promise<void> {
    await Promise.all(this.#sets.map((files) => files.abort()));
  }
}
