import assert from 'node:assert/strict';
import pg from 'pg';
import { fullXid, SourceLookup } from '../../src/capture/source-lookup.ts';
import { sharedStack } from '../support/stack.ts';

const { signal } = new AbortController();

describe('a lookup after a transaction', function () {
  this.timeout(60_000);
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: sharedStack().postgresUrl });
    await client.connect();
    return client;
  };

  it('waits until a query sees the transaction', async () => {
    const writer = await connect();
    const lookups = new SourceLookup(connect);
    await writer.query('BEGIN; CREATE TEMPORARY TABLE seen (n int)');
    const { rows } = await writer.query<{ xid: string }>('SELECT pg_current_xact_id()::xid::text AS xid');
    let answered = false;
    const answer = lookups.after(Number(rows[0]?.xid), signal)('SELECT 1', []);
    void answer.then(() => (answered = true));
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(answered, false);
    await writer.query('COMMIT');
    assert.deepEqual(await answer, [['1']]);
    await lookups.close();
    await writer.end();
  });

  it('ends when capture does', async () => {
    const writer = await connect();
    const lookups = new SourceLookup(connect);
    await writer.query('BEGIN; CREATE TEMPORARY TABLE seen (n int)');
    const { rows } = await writer.query<{ xid: string }>('SELECT pg_current_xact_id()::xid::text AS xid');
    const answer = lookups.after(Number(rows[0]?.xid), AbortSignal.timeout(100))('SELECT 1', []);
    await assert.rejects(answer);
    await lookups.close();
    await writer.end();
  });

  it('knows the whole number of a transaction from its last 32 bits', () => {
    assert.equal(fullXid(5, 7n), '5');
    assert.equal(fullXid(5, (1n << 32n) - 1n), String((1n << 32n) + 5n));
    assert.equal(fullXid(0xffff_fff0 | 0, (1n << 32n) + 3n), String((1n << 32n) - 16n));
    assert.equal(fullXid(9, (7n << 32n) + 8n), String((7n << 32n) + 9n));
  });
});
