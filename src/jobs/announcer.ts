import { once } from 'node:events';
import { chained } from '../audit/chain.ts';
import type { TimedEntry } from '../audit/chain.ts';
import { sleep } from '../base/clock.ts';
import { offset } from '../base/positions.ts';
import type { Announced } from '../events/announced.ts';
import type { AuditHead, AuditRecord } from '../events/audit.ts';
import { cloudEventHeaders } from '../events/export-event.ts';
import type { ExportEvent } from '../events/export-event.ts';
import type { Codec } from '../events/schema-ids.ts';
import type { LogReader, NewRecord } from '../log/log.ts';
import type { OpenTransactionalAppender, TransactionalAppender } from '../log/transactional-appender.ts';
import { ANNOUNCED_KEY, dropAnnounced, readAnnounced } from './announced.ts';
import { dropEntries, entriesOf, nextEntries } from './audit-rows.ts';
import type { Queryable } from './job-rows.ts';
import type { Lead } from '../database/lead.ts';
import type { JobTables } from './schema.ts';

export interface AnnouncerOptions {
  readonly tables: JobTables;
  readonly reader: Pick<LogReader, 'ends' | 'read'>;
  readonly openAppender: OpenTransactionalAppender;
  readonly transactionalId: string;
  readonly topics: { readonly exports: string; readonly audit: string; readonly announced: string };
  readonly codecs: {
    readonly exportEvent: Pick<Codec<ExportEvent>, 'encode'>;
    readonly announced: Codec<Announced>;
    readonly audit: Pick<Codec<AuditRecord>, 'encode'>;
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
/** ms between two looks for entries of the audit log, which other processes write. */
const AUDIT_POLL = 500;
/** ms between two removals of old entries. */
const AUDIT_DROP = 600_000;

/**
 * Publishes announcement rows to the public topic and the entries of the audit log to theirs, each exactly once. One Kafka transaction
 * holds them and the record of the last ones. The announcer deletes rows up to this record before it reads any, so it does not publish a row again that a
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
      let dropAt = 0;
      while (!signal.aborted) {
        const next = await leader.transaction(async (client) => {
          await dropAnnounced(client, tables, announced);
          if (performance.now() >= dropAt) {
            await dropEntries(client, tables, announced.audit);
            dropAt = performance.now() + AUDIT_DROP;
          }
          return nextWork(client, tables, announced.audit);
        });
        if (next.rows.length + next.entries.length > 0)
          announced = await this.#publish(appender, next, announced);
        else await this.#rows(signal);
      }
    } finally {
      await appender.close();
    }
  }

  async #rows(signal: AbortSignal): Promise<void> {
    const looked = new AbortController();
    const either = AbortSignal.any([signal, looked.signal]);
    if (!this.#woken) {
      const wait = [once(this.#wake, 'rows', { signal: either }), sleep(AUDIT_POLL, either)];
      await Promise.race(wait).finally(() => looked.abort());
      await Promise.allSettled(wait);
    }
    this.#woken = false;
  }

  async #publish(
    appender: TransactionalAppender,
    { rows, entries, lastRow }: Work,
    before: Announced,
  ): Promise<Announced> {
    const { topics, codecs, source } = this.#options;
    const places = new Map(before.places);
    const records = rows.map((row): NewRecord => {
      places.set(row.partition, { offset: offset(BigInt(row.offset)), n: row.n });
      const id = `${String(row.partition)}-${row.offset}-${String(row.n)}`;
      const event = eventOf(row.event);
      return {
        topic: topics.exports,
        key: event.jobId,
        value: codecs.exportEvent.encode(event),
        headers: cloudEventHeaders(event, { source, id }),
      };
    });
    const { values, head } = chained(entries, before.audit, { codec: codecs.audit, observer: source });
    const audited = values.map((value, i): NewRecord => {
      const { jobId, id } = entries[i]?.entry ?? { id: '' };
      return {
        topic: topics.audit,
        key: jobId ?? id,
        value,
        headers: { 'content-type': 'application/avro' },
      };
    });
    const announced = { places, audit: { ...head, row: lastRow } };
    const value = codecs.announced.encode(announced);
    await appender.append([
      ...records,
      ...audited,
      { topic: topics.announced, partition: 0, key: ANNOUNCED_KEY, value },
    ]);
    return announced;
  }
}

interface Work {
  readonly rows: readonly Row[];
  readonly entries: readonly TimedEntry[];
  /** The number of the last entry that is a row of its own. */
  readonly lastRow: number;
}

/** The next announcements, and the entries of the audit log: those that are rows, then those of the announcements. */
async function nextWork(client: Queryable, tables: JobTables, audit: AuditHead): Promise<Work> {
  const rows = await nextRows(client, tables);
  const entries = await nextEntries(client, tables, audit);
  const told = await entriesOf(
    client,
    tables,
    rows.map(({ event }) => eventOf(event)),
  );
  return { rows, entries: [...entries, ...told], lastRow: entries.at(-1)?.n ?? audit.row };
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
