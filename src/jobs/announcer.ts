import { once } from 'node:events';
import { offset } from '../base/positions.ts';
import type { Announced } from '../events/announced.ts';
import { cloudEventHeaders } from '../events/export-event.ts';
import type { ExportEvent } from '../events/export-event.ts';
import type { Codec } from '../events/schema-ids.ts';
import type { LogReader, NewRecord } from '../log/log.ts';
import type { OpenTransactionalAppender, TransactionalAppender } from '../log/transactional-appender.ts';
import { ANNOUNCED_KEY, dropAnnounced, readAnnounced } from './announced.ts';
import type { Queryable } from './job-rows.ts';
import type { Lead } from '../database/lead.ts';
import type { JobTables } from './schema.ts';

export interface AnnouncerOptions {
  readonly tables: JobTables;
  readonly reader: Pick<LogReader, 'ends' | 'read'>;
  readonly openAppender: OpenTransactionalAppender;
  readonly transactionalId: string;
  readonly topics: { readonly exports: string; readonly announced: string };
  readonly codecs: {
    readonly exportEvent: Pick<Codec<ExportEvent>, 'encode'>;
    readonly announced: Codec<Announced>;
  };
  /** `source` of the CloudEvents: a URI reference that identifies this Headwater. */
  readonly source: string;
}

interface Row {
  readonly partition: number;
  readonly offset: string;
  readonly n: number;
  readonly event: ExportEvent;
}

const BATCH_ROWS = 500;
const BATCH_BYTES = 4 << 20;

/**
 * Publishes announcement rows to the public topic, each exactly once. One Kafka transaction holds the announcements and the record
 * of the last one. The announcer deletes rows up to this record before it reads any, so it does not publish a row again that a
 * crash of the database or a rebuild restored. The order matters: first fence the earlier announcer, then read its last record.
 */
export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #wake = new EventTarget();
  #woken = true;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  /** Reports that there are new rows. */
  wake(): void {
    this.#woken = true;
    this.#wake.dispatchEvent(new Event('rows'));
  }

  async run(leader: Lead, signal: AbortSignal, onOpen: () => void): Promise<void> {
    const { tables, reader, topics, codecs } = this.#options;
    const appender = await this.#options.openAppender(this.#options.transactionalId);
    onOpen();
    try {
      let announced = await readAnnounced(
        { reader, topic: topics.announced, codec: codecs.announced },
        signal,
      );
      while (!signal.aborted) {
        const rows = await leader.transaction(async (client) => {
          await dropAnnounced(client, tables, announced);
          return nextRows(client, tables);
        });
        if (rows.length > 0) announced = await this.#publish(appender, rows, announced);
        else await this.#rows(signal);
      }
    } finally {
      await appender.close();
    }
  }

  async #rows(signal: AbortSignal): Promise<void> {
    if (!this.#woken) await once(this.#wake, 'rows', { signal });
    this.#woken = false;
  }

  async #publish(
    appender: TransactionalAppender,
    rows: readonly Row[],
    before: Announced,
  ): Promise<Announced> {
    const { topics, codecs, source } = this.#options;
    const announced = new Map(before);
    const records = rows.map((row): NewRecord => {
      announced.set(row.partition, { offset: offset(BigInt(row.offset)), n: row.n });
      const id = `${String(row.partition)}-${row.offset}-${String(row.n)}`;
      const event = eventOf(row.event);
      return {
        topic: topics.exports,
        key: event.jobId,
        value: codecs.exportEvent.encode(event),
        headers: cloudEventHeaders(event, { source, id }),
      };
    });
    const value = codecs.announced.encode(announced);
    await appender.append([...records, { topic: topics.announced, partition: 0, key: ANNOUNCED_KEY, value }]);
    return announced;
  }
}

/** The oldest rows of each partition: at least one, at most BATCH_ROWS or about BATCH_BYTES. */
async function nextRows(client: Queryable, t: JobTables): Promise<Row[]> {
  const { rows } = await client.query<Row>(
    `SELECT partition, "offset", n, event FROM (
       SELECT *, sum(octet_length(event::text)) OVER w AS bytes, row_number() OVER w AS place
       FROM (SELECT * FROM ${t.announcement} ORDER BY partition, "offset", n LIMIT ${String(BATCH_ROWS)}) oldest
       WINDOW w AS (ORDER BY partition, "offset", n)
     ) sized WHERE bytes <= ${String(BATCH_BYTES)} OR place = 1 ORDER BY partition, "offset", n`,
  );
  return rows;
}

/** Restores the undefined fields, which jsonb does not store. */
function eventOf(
  row: Partial<ExportEvent> & Pick<ExportEvent, 'jobId' | 'clientId' | 'requestUrl' | 'kind' | 'at'>,
): ExportEvent {
  const { jobId, clientId, requestUrl, kind, at, transactionTime, file, manifest, failure } = row;
  return { jobId, clientId, requestUrl, kind, at, transactionTime, file, manifest, failure };
}
