import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { offset } from '../../src/base/positions.ts';
import type { ExportFile } from '../../src/events/status.ts';
import type { Task } from '../../src/events/tasks.ts';
import { References } from '../../src/fhir/reference.ts';
import { NamedPatients } from '../../src/replay/named-patients.ts';
import { runTask } from '../../src/replay/run-task.ts';
import type { TaskTools } from '../../src/replay/task-run.ts';
import { FsStore } from '../../src/storage/fs-store.ts';
import { PATIENCE_MS } from '../support/until.ts';
import type { Headwater } from './headwater.ts';

/** I5: the tasks of a finished job, run once more into another folder, give the same bytes under the same names. */
export async function assertSameAgain(headwater: Headwater, jobId: string): Promise<void> {
  const { log, settings } = headwater;
  const { change } = await log.codecs();
  const directory = join(headwater.directory, `again-${jobId}`);
  const store = new FsStore(directory);
  const { control } = await log.codecs();
  const named = new NamedPatients({ reader: log.reader, topic: log.names.commands, codec: control.command });
  const tools: TaskTools = {
    log: { reader: log.reader, codec: change, topicOf: (type) => log.names.resource(type) },
    store,
    references: new References(settings.sourceBaseUrls),
    patientsOf: (job, place, signal) => named.of(job, place, signal),
    fileBytes: settings.fileBytes,
  };
  for (const task of await tasksOf(headwater, jobId)) {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const { files } = await runTask(task, tools, { signal, onProgress: () => undefined });
    assert.deepEqual(files, await filesOf(headwater, task), `task ${task.taskId} of ${jobId}, run again`);
  }
  await rm(directory, { recursive: true, force: true });
}

async function tasksOf({ log }: Headwater, jobId: string): Promise<Task[]> {
  const { control } = await log.codecs();
  const tasks: Task[] = [];
  for (const topic of Object.values(log.names.tasks)) {
    for (const [partition, to] of (await log.reader.ends(topic)).entries()) {
      const range = { topic, partition, from: offset(0), to };
      for await (const records of log.reader.read(range, AbortSignal.timeout(PATIENCE_MS))) {
        for (const { key, value } of records)
          if (key.toString().startsWith(`${jobId}/`)) tasks.push(control.task.decode(value));
      }
    }
  }
  return tasks;
}

async function filesOf({ pool, tables }: Headwater, { jobId, taskId }: Task): Promise<ExportFile[]> {
  const { rows } = await pool.query<ExportFile & { count: string; bytes: string }>(
    `SELECT kind, type, key, count, bytes, sha256 FROM ${tables.file} WHERE job_id = $1 AND task_id = $2 ORDER BY n`,
    [jobId, taskId],
  );
  return rows.map((row) => ({ ...row, count: Number(row.count), bytes: Number(row.bytes) }));
}
