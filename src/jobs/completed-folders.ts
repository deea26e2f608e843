import type { Pool } from 'pg';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/service.ts';
import { asking } from '../database/pool.ts';
import { COMPLETION_MARKER } from '../storage/object-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { loadJob } from './job-rows.ts';
import type { JobView } from './job.ts';
import type { JobTables } from './schema.ts';
import { viewOf } from './view.ts';

/** Name of the manifest in the folder of an export. */
export const MANIFEST_NAME = 'manifest.json';

export interface CompletedFoldersOptions {
  readonly pool: Pool;
  readonly tables: JobTables;
  readonly store: Pick<ObjectStore, 'create'>;
  /** The manifest of a completed job as JSON, with the names of its files in its folder in place of URLs. Pure. */
  readonly manifest: (job: JobView, folder: string) => string;
  readonly logger: Logger;
}

const MOST = 100;

/**
 * Writes the manifest and, last of all, the completion marker into the folder of each completed export, so that a tool needs
 * nothing but the store to know that the folder is complete. The projector leaves a row for each such export. A crash between the
 * steps repeats them; the bytes are the same.
 */
export class CompletedFolders {
  readonly #options: CompletedFoldersOptions;

  constructor(options: CompletedFoldersOptions) {
    this.#options = options;
  }

  /** Marks the folders that have no marker yet. One that cannot be written now comes again in the next run. */
  async run(signal: AbortSignal): Promise<void> {
    const { pool, tables, logger } = this.#options;
    const { rows } = await asking(() =>
      pool.query<{ id: string }>(`SELECT job_id AS id FROM ${tables.unmarked} LIMIT ${String(MOST)}`),
    );
    for (const { id } of rows) {
      if (signal.aborted) return;
      try {
        await this.#mark(id);
        await asking(() => pool.query(`DELETE FROM ${tables.unmarked} WHERE job_id = $1`, [id]));
      } catch (error) {
        logger.warn({ jobId: id, err: error }, `cannot mark the folder of ${id} now: ${messageOf(error)}`);
      }
    }
  }

  /** An export that was cancelled or has expired meanwhile has no folder to mark. */
  async #mark(jobId: string): Promise<void> {
    const { pool, tables, manifest } = this.#options;
    const job = await asking(() => loadJob(pool, tables, jobId));
    if (job?.state !== 'completed' || job.plan === undefined) return;
    const { folder } = job.plan;
    const view = viewOf({ ...job.plan, jobId, cancelRequested: false }, job);
    await this.#write(`${folder}/${MANIFEST_NAME}`, 'application/json', `${manifest(view, folder)}\n`);
    await this.#write(`${folder}/${COMPLETION_MARKER}`, 'application/octet-stream', '');
  }

  async #write(key: string, contentType: string, text: string): Promise<void> {
    const writer = await this.#options.store.create(key, contentType);
    try {
      await writer.write(Buffer.from(text));
      await writer.finish();
    } catch (error) {
      await writer.abort();
      throw error;
    }
  }
}
