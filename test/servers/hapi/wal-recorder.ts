import pg from 'pg';
import { decodeWalMessage } from '../../../src/capture/pgoutput.ts';
import type { Relation, Tuple } from '../../../src/capture/pgoutput.ts';
import { uniqueIdentifier } from '../../support/names.ts';

/** The tables of HAPI that a capture follows. */
export const FOLLOWED = ['hfj_resource', 'hfj_res_ver', 'hfj_res_tag', 'hfj_history_tag', 'hfj_tag_def'];

/** Columns as PostgreSQL prints them, in the table's order. A column is absent where the stream does not send it: large and unchanged. */
export type RecordedRow = Readonly<Record<string, string | null>>;

export interface RecordedChange {
  readonly table: string;
  readonly op: 'insert' | 'update' | 'delete';
  readonly old?: RecordedRow;
  readonly new?: RecordedRow;
}

/** Reads what HAPI writes from the write-ahead log, decoded as capture decodes it. */
export class WalRecorder {
  readonly #client: pg.Client;
  readonly #name = uniqueIdentifier('recorder');

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  /** Gives the tables whole old rows and publishes them. What is committed from now on is recorded. */
  static async start(client: pg.Client): Promise<WalRecorder> {
    const recorder = new WalRecorder(client);
    for (const table of FOLLOWED) await client.query(`ALTER TABLE ${table} REPLICA IDENTITY FULL`);
    await client.query(`CREATE PUBLICATION ${recorder.#name} FOR TABLE ${FOLLOWED.join(', ')}`);
    await client.query(`SELECT pg_create_logical_replication_slot('${recorder.#name}', 'pgoutput')`);
    return recorder;
  }

  /** The transactions committed since the last call, without empty ones; their changes in the order of the log. */
  async take(): Promise<RecordedChange[][]> {
    const { rows } = await this.#client.query<{ data: Buffer }>(
      `SELECT data FROM pg_logical_slot_get_binary_changes('${this.#name}', NULL, NULL, 'proto_version', '1', 'publication_names', '${this.#name}')`,
    );
    const relations = new Map<number, Relation>();
    const transactions: RecordedChange[][] = [];
    for (const { data } of rows) {
      const message = decodeWalMessage(data);
      if (message?.kind === 'begin') transactions.push([]);
      if (message?.kind === 'relation') relations.set(message.relation.oid, message.relation);
      if (message?.kind !== 'insert' && message?.kind !== 'update' && message?.kind !== 'delete') continue;
      const relation = relations.get(message.oid);
      if (!relation) throw new Error(`The log has a row of a relation it did not describe: ${message.oid}`);
      transactions.at(-1)?.push({
        table: relation.table,
        op: message.kind,
        ...('old' in message && message.old && { old: rowOf(relation, message.old) }),
        ...('row' in message && { new: rowOf(relation, message.row) }),
      });
    }
    return transactions.filter((changes) => changes.length > 0);
  }
}

function rowOf({ columns }: Relation, tuple: Tuple): RecordedRow {
  const named = columns.map((column, i) => [column, tuple[i]] as const);
  const sent = named.flatMap(([column, value]) =>
    value === undefined ? [] : [[column, value?.toString('utf8') ?? null] as const],
  );
  return Object.fromEntries(sent);
}
