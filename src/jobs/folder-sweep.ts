import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/service.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export interface FolderSweepOptions {
  readonly store: Pick<ObjectStore, 'list' | 'deletePrefix'>;
  /** ms between two sweeps of a folder. */
  readonly delayMs: number;
  /** Called before files are removed. If it fails, they stay for now. */
  readonly onRemoval: (folder: string) => Promise<void>;
  readonly logger: Logger;
}

interface Entry {
  sweeps: number;
  dueAt: number;
}

const REMEMBERED_MS = 2 * 3_600_000;

/**
 * Removes folders of ended exports. A worker that does not know of the end yet may write into the folder again, so each folder is
 * swept at least twice, and until a sweep finds it empty. A crash forgets the folders; the janitor's inventory adds them again.
 */
export class FolderSweep {
  readonly #options: FolderSweepOptions;
  readonly #due = new Map<string, Entry>();
  readonly #done = new Map<string, number>();

  constructor(options: FolderSweepOptions) {
    this.#options = options;
  }

  /** @param seen the folder exists in the store now, so sweep it even if an earlier sweep removed it */
  add(folder: string, now: number, seen: boolean): void {
    if (seen) this.#done.delete(folder);
    if (this.#due.has(folder) || this.#done.has(folder)) return;
    this.#due.set(folder, { sweeps: 0, dueAt: now });
  }

  /** Sweeps the folders that are due. */
  async run(now: number): Promise<void> {
    for (const [folder, at] of this.#done) if (at < now - REMEMBERED_MS) this.#done.delete(folder);
    for (const [folder, entry] of this.#due) {
      if (entry.dueAt > now) continue;
      entry.dueAt = now + this.#options.delayMs;
      if (!(await this.#sweep(folder, entry))) continue;
      this.#due.delete(folder);
      this.#done.set(folder, now);
    }
  }

  /** Returns true if the folder needs no further sweep. */
  async #sweep(folder: string, entry: Entry): Promise<boolean> {
    const { store, logger, onRemoval } = this.#options;
    try {
      const empty = await isEmpty(store, `${folder}/`);
      if (!empty) await onRemoval(folder);
      await store.deletePrefix(`${folder}/`); // unfinished parts are not listed
      if (!empty) logger.info({ folder, sweep: entry.sweeps + 1 }, 'removed the files of an ended export');
      return ++entry.sweeps >= 2 && empty;
    } catch (error) {
      logger.warn({ folder, err: error }, `cannot remove ${folder} now: ${messageOf(error)}`);
      return false;
    }
  }
}

async function isEmpty(store: Pick<ObjectStore, 'list'>, prefix: string): Promise<boolean> {
  for await (const _ of store.list(prefix)) return false;
  return true;
}
