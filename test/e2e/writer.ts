import { createCipheriv, createHash } from 'node:crypto';
import type pg from 'pg';
import type { BodySpec, ExportSpec, Key, Statement } from './history.ts';
import type { Ledger } from './ledger.ts';

/** One writer to the source table: a connection of its own, so that several can have open transactions. */
export class Writer {
  readonly #client: pg.Client;
  readonly #ledger: Ledger;
  readonly #jsonb: boolean;

  constructor(client: pg.Client, ledger: Ledger, jsonb: boolean) {
    this.#client = client;
    this.#ledger = ledger;
    this.#jsonb = jsonb;
  }

  /**
   * Writers can get into each other's way (deadlock, a key that is taken); then PostgreSQL ends the transaction, which is a
   * rollback like another. Returns whether it was committed.
   */
  async transaction(
    statements: readonly Statement[],
    rollback: boolean,
    onExport: (spec: ExportSpec) => Promise<void>,
  ): Promise<boolean> {
    await this.#client.query('BEGIN');
    try {
      await this.#all(statements, onExport);
      if (rollback) {
        await this.#client.query('ROLLBACK');
        return false;
      }
      await this.#ledger.takePlace(this.#client);
      await this.#client.query('COMMIT');
      return true;
    } catch (error) {
      await this.#client.query('ROLLBACK');
      if (!isConflict(error)) throw error;
      return false;
    }
  }

  end(): Promise<void> {
    return this.#client.end();
  }

  async #all(statements: readonly Statement[], onExport: (spec: ExportSpec) => Promise<void>): Promise<void> {
    for (const statement of statements) {
      if (statement.kind === 'export') await onExport(statement);
      else if (statement.kind === 'savepoint') {
        await this.#client.query('SAVEPOINT s');
        await this.#all(statement.statements, onExport);
        await this.#client.query(statement.rollback ? 'ROLLBACK TO SAVEPOINT s' : 'RELEASE SAVEPOINT s');
      } else await this.#one(statement);
    }
  }

  async #one(statement: Exclude<Statement, { kind: 'export' | 'savepoint' }>): Promise<void> {
    const [text, ...values] = this.#sql(statement);
    await this.#client.query(text, values);
  }

  #sql(s: Exclude<Statement, { kind: 'export' | 'savepoint' }>): [text: string, ...values: unknown[]] {
    const changed = 'version = r.version + 1, last_updated = clock_timestamp()';
    const where = 'WHERE type = $1 AND id = $2';
    const upsert = `ON CONFLICT (type, id) DO UPDATE SET ${changed}, body = excluded.body, deleted = false`;
    switch (s.kind) {
      case 'put':
        return [
          `INSERT INTO resource AS r (type, id, version, last_updated, body) VALUES ($1, $2, 1, clock_timestamp(), $3) ${upsert}`,
          s.type,
          s.id,
          bodyText(s, s.body, this.#jsonb),
        ];
      case 'touch':
        return [`UPDATE resource r SET ${changed} ${where}`, s.type, s.id];
      case 'delete':
        return [`DELETE FROM resource ${where}`, s.type, s.id];
      case 'mark':
        return [`UPDATE resource r SET ${changed}, deleted = $3 ${where}`, s.type, s.id, s.deleted];
      case 'move':
        return [
          `UPDATE resource r SET ${changed}, type = $3, id = $4 ${where}
             AND NOT EXISTS (SELECT FROM resource o WHERE o.type = $3 AND o.id = $4)`,
          s.type,
          s.id,
          s.to.type,
          s.to.id,
        ];
      case 'put-many':
        return [
          `INSERT INTO resource AS r (type, id, version, last_updated, body)
             SELECT $1::text, 'many-' || n, 1, clock_timestamp(),
               format('{"resourceType":"%s","id":"many-%s","nonce":"%s-%s"}', $1::text, n, $2::text, n)${this.#jsonb ? '::jsonb' : ''}
             FROM generate_series(1, $3::int) AS n ${upsert}`,
          s.type,
          s.nonce,
          s.count,
        ];
      case 'delete-many':
        return [`DELETE FROM resource WHERE type = $1 AND id LIKE 'many-%'`, s.type];
      case 'delete-new':
        return [`DELETE FROM resource WHERE id NOT LIKE 'loaded-%'`];
      case 'alter-table':
        return [
          'ALTER TABLE resource DROP COLUMN IF EXISTS other, ADD COLUMN other text DEFAULT random()::text',
        ];
      case 'truncate':
        return ['TRUNCATE resource'];
    }
  }
}

function isConflict(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return code === '40P01' || code === '23505';
}

const UNICODE = 'Grüße, 你好, \u{1f600}\u2028\u2029 \u0301 \\ud83d';

function bodyText({ type, id }: Key, { nonce, filler, flavour }: BodySpec, jsonb: boolean): string | null {
  if (flavour === 'none') return null;
  if (flavour === 'list' || (jsonb && flavour === 'not-json')) return `["${nonce}"]`;
  const text = fillerText(nonce, filler);
  if (flavour === 'not-json') return `{"nonce":"${nonce}", ${text}`;
  const extra = flavour === 'unicode' ? { text: UNICODE, größe: '\u007f\u0001' } : {};
  const resource = {
    resourceType: type,
    id,
    nonce,
    ...extra,
    subject: { reference: 'Patient/a' },
    data: text,
  };
  if (flavour !== 'lines') return JSON.stringify(resource);
  return `\r\n${JSON.stringify(resource, null, 2).replace('\n', '\r')}\n\n`;
}

/** Text of that many bytes that nothing can compress well. */
function fillerText(nonce: string, bytes: number): string {
  if (bytes === 0) return '';
  const key = createHash('sha256').update(nonce).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  return cipher.update(Buffer.alloc(Math.ceil((bytes * 3) / 4))).toString('base64');
}
