import { sleep } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import type { Logger } from '../base/service.ts';
import type { Lead } from '../database/lead.ts';
import type { StatusEvent } from '../events/status.ts';
import type { LogReader, StoredRecord } from '../log/log.ts';
import type { Queryable } from './job-rows.ts';
import type { StatusReading } from './read-status.ts';
import { stampMoved } from './movement.ts';
import type { JobTables } from './schema.ts';

export interface ProgressOptions {
  readonly tables: JobTables;
  readonly reader: Pick<LogReader, 'ends' | 'follow' | 'offsetsAt'>;
  readonly progressTopic: string;
  readonly codec: StatusReading['codec'];
  readonly logger: Logger;
}

interface Progress {
  readonly jobId: string;
  readonly taskId: string;
  readonly fraction: number;
}

/** The topic has one partition. */
const PARTITION = 0;
const RETRY = 5_000;

/**
 * Stores progress events in a table beside the projection. They are not part of the fold: a lost, late or repeated event only
 * changes the number that a client sees, so an error of their topic stops nothing. Only the leader writes.
 */
export async function followProgress(
  leader: Lead,
  options: ProgressOptions,
  signal: AbortSignal,
): Promise<void> {
  const { tables } = options;
  const stored = await leader.transaction((client) => storedOffset(client, tables));
  for await (const { records, next } of batches(options, stored, signal)) {
    const progress = await progressIn(records, options.codec);
    await leader.transaction((client) => store(client, tables, { progress, next }));
  }
}

/** Reads the topic from the stored offset, or from its first record if the offset is unknown. After an error, tries again. */
async function* batches(
  options: ProgressOptions,
  stored: Offset | undefined,
  signal: AbortSignal,
): AsyncGenerator<{ readonly records: readonly StoredRecord[]; readonly next: Offset }> {
  const { reader, progressTopic: topic, logger } = options;
  for (let from = stored; ;) {
    try {
      const start = (await reader.offsetsAt(topic, 0))[PARTITION];
      const end = (await reader.ends(topic))[PARTITION];
      if (start === undefined || end === undefined)
        throw new HeadwaterError('unavailable', `Kafka has no topic ${topic}; "headwater topics" makes it`);
      const known = from !== undefined && from >= start && from <= end;
      from = known ? from : start;
      for await (const records of reader.follow(
        { topic, partition: PARTITION, offset: from ?? start },
        signal,
      )) {
        const last = records.at(-1);
        if (last === undefined) continue;
        from = offset(last.offset + 1);
        yield { records, next: from };
      }
    } catch (error) {
      signal.throwIfAborted();
      logger.warn({ topic, err: error }, 'the progress of exports is not known for now');
    }
    await sleep(RETRY, signal);
  }
}

/** The furthest progress of each task. Skips unreadable records. */
async function progressIn(
  records: readonly StoredRecord[],
  codec: ProgressOptions['codec'],
): Promise<Progress[]> {
  const furthest = new Map<string, Progress>();
  for (const { value } of records) {
    const event = await decoded(value, codec);
    if (event?.kind !== 'TaskProgressed' || !Number.isFinite(event.fraction)) continue;
    const { jobId, taskId } = event;
    const before = furthest.get(`${jobId}/${taskId}`)?.fraction ?? 0;
    const fraction = Math.min(1, Math.max(before, event.fraction));
    furthest.set(`${jobId}/${taskId}`, { jobId, taskId, fraction });
  }
  return [...furthest.values()];
}

async function decoded(value: Buffer, codec: ProgressOptions['codec']): Promise<StatusEvent | undefined> {
  try {
    return await codec.decode(value);
  } catch {
    return undefined;
  }
}

async function storedOffset(client: Queryable, t: JobTables): Promise<Offset | undefined> {
  const text = `SELECT next FROM ${t.progressOffset} WHERE partition = $1`;
  const { rows } = await client.query<{ next: string }>(text, [PARTITION]);
  return rows[0] && offset(BigInt(rows[0].next));
}

async function store(
  client: Queryable,
  t: JobTables,
  { progress, next }: { readonly progress: readonly Progress[]; readonly next: Offset },
): Promise<void> {
  const isRunning = (of: string): string =>
    `EXISTS (SELECT FROM ${t.job} j WHERE j.job_id = ${of} AND state = 'running')`;
  const { rows } = await client.query<{ id: string }>(
    `INSERT INTO ${t.progress} AS p SELECT "jobId", "taskId", fraction
       FROM jsonb_to_recordset($1) AS x("jobId" text, "taskId" text, fraction float8) WHERE ${isRunning('"jobId"')}
     ON CONFLICT (job_id, task_id) DO UPDATE SET fraction = greatest(p.fraction, excluded.fraction) RETURNING job_id AS id`,
    [JSON.stringify(progress)],
  );
  await stampMoved(
    client,
    t,
    rows.map(({ id }) => id),
  );
  await client.query(`DELETE FROM ${t.progress} p WHERE NOT ${isRunning('p.job_id')}`);
  await client.query(
    `INSERT INTO ${t.progressOffset} VALUES ($1, $2) ON CONFLICT (partition) DO UPDATE SET next = excluded.next`,
    [PARTITION, next],
  );
}
