import type pg from 'pg';
import { sleep } from '../base/clock.ts';
import { unavailable } from '../database/errors.ts';
import type { Lookup } from './presets/preset.ts';

/** Pause between two looks for a transaction, in ms. */
const POLL = 5;
const WRAP = 1n << 32n;

/** Answers lookups from one session, which it opens at the first question. */
export class SourceLookup {
  readonly #open: () => Promise<pg.Client>;
  #client: pg.Client | undefined;

  constructor(open: () => Promise<pg.Client>) {
    this.#open = open;
  }

  /**
   * Returns a lookup that sees a transaction of the stream. PostgreSQL streams a commit before queries see it: a moment before, or with
   * synchronous replication until the standby answers.
   */
  after(xid: number, signal: AbortSignal): Lookup {
    let seen: Promise<void> | undefined;
    return async (sql, values) => {
      try {
        this.#client ??= await this.#open();
        await (seen ??= untilSeen(this.#client, xid, signal));
        return await lookupOver(this.#client)(sql, values);
      } catch (error) {
        throw signal.aborted ? error : unavailable(error);
      }
    };
  }

  async close(): Promise<void> {
    await this.#client?.end().catch(() => undefined);
  }
}

/** Resolves when a new snapshot sees the transaction. */
async function untilSeen(client: pg.Client, xid: number, signal: AbortSignal): Promise<void> {
  const lookup = lookupOver(client);
  for (;;) {
    const [row] = await lookup('SELECT txid_snapshot_xmax(txid_current_snapshot())', []);
    const full = fullXid(xid, BigInt(row?.[0] ?? '0'));
    const [answer] = await lookup('SELECT txid_visible_in_snapshot($1, txid_current_snapshot())', [full]);
    if (answer?.[0] === 't') return;
    await sleep(POLL, signal);
  }
}

/** Returns the transaction id of 64 bits that is nearest to another one, since the stream has only 32 of them. */
export function fullXid(xid: number, near: bigint): string {
  const epoch = near & ~0xffff_ffffn;
  const candidates = [epoch - WRAP, epoch, epoch + WRAP].map((base) => base + BigInt(xid >>> 0));
  const distance = (one: bigint): bigint => (one > near ? one - near : near - one);
  return String(candidates.reduce((best, one) => (distance(one) < distance(best) ? one : best)));
}

/** Every column comes as PostgreSQL prints it. */
export function lookupOver(client: pg.Client): Lookup {
  return async (text, values) => {
    const types = { getTypeParser: () => (value: string) => value };
    const { rows } = await client.query<(string | null)[]>({
      text,
      values: [...values],
      rowMode: 'array',
      types,
    });
    return rows;
  };
}
