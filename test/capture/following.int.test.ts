import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { formatLsn } from '../../src/base/positions.ts';
import type { Lsn } from '../../src/base/positions.ts';
import type { Catalog } from '../../src/capture/catalog.ts';
import { CaptureLag } from '../../src/capture/capture-lag.ts';
import { Following } from '../../src/capture/following.ts';
import type { FollowingOptions } from '../../src/capture/following.ts';
import { ProblemLog } from '../../src/capture/problem-log.ts';
import type { CaptureLog } from '../../src/capture/resource-log.ts';
import { Source } from '../../src/capture/source.ts';
import { presetOf } from '../../src/capture/presets/presets.ts';
import { EMPTY_POSITION } from '../../src/events/position.ts';
import { RequestSeal } from '../../src/events/request-seal.ts';
import { uniqueIdentifier } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';

const REQUESTS = 50;
const PREFIX = 'headwater';
const SEAL = new RequestSeal('a secret of the tests');

/** A log of one broker that holds what was committed in memory: each transaction as the topics it wrote to. */
class MemoryLog implements CaptureLog {
  readonly committed: string[][] = [];
  readonly pendingBytes = 0;
  readonly openMs = 0;
  readonly transactionTimeoutMs = 60_000;
  #open: string[] = [];

  declare(): void {}

  listen(): void {}

  declared(): boolean {
    return true;
  }

  ends(): readonly number[] {
    return [0];
  }

  add(topic: string): void {
    this.#open.push(topic);
  }

  async flush(): Promise<void> {}

  async commit(): Promise<void> {
    const transaction = this.#open;
    this.#open = [];
    await delay(1);
    this.committed.push(transaction);
  }

  async close(): Promise<void> {}
}

const resolved = (): Promise<void> => Promise.resolve();
const NO_RELOADS = { began: resolved, ends: resolved, none: resolved };

describe('following the write-ahead log', () => {
  const name = uniqueIdentifier('following');
  let client: pg.Client;
  let source: Source;
  let catalog: Catalog;
  const errors: string[] = [];

  before(async () => {
    const url = new URL(sharedStack().postgresUrl);
    url.pathname = `/${name}`;
    await administer(`CREATE DATABASE ${name}`);
    client = new pg.Client({ connectionString: url.href });
    await client.connect();
    await client.query(
      'CREATE TABLE resource (type text, id text, version bigint, last_updated timestamptz, body text, deleted boolean, PRIMARY KEY (type, id))',
    );
    const preset = presetOf({});
    source = new Source({ url: url.href, slot: name, publication: name, prefix: name, preset });
    catalog = await source.prepare();
  });

  after(async () => {
    await source.dropSlot();
    await client.end();
    await administer(`DROP DATABASE ${name}`);
  });

  it('never commits a cut without the position that says so: it would be made again, elsewhere', async () => {
    const slot = await source.createSlot();
    await slot.release();
    for (let i = 0; i < REQUESTS; i++) await request(`job-${i}`);
    await client.query('TRUNCATE resource'); // is committed in part, since the log is read for it
    const log = await followed(slot.consistentPoint);
    const commands = log.committed.map((topics) => topics.filter((topic) => topic === 'commands').length);
    assert.equal(
      commands.reduce((a, b) => a + b, 0),
      REQUESTS,
    );
    for (const topics of log.committed)
      if (topics.includes('commands')) assert(topics.includes('position'), topics.join(' '));
  });

  it('commands no message that no gateway has sealed, and none a second time', async () => {
    await source.dropSlot();
    const slot = await source.createSlot();
    await slot.release();
    await request('whole');
    await request('whole');
    await request('changed', { clientId: 'another' });
    await request('unsealed', { seal: undefined });
    await request('foreign', { seal: new RequestSeal('another secret').of({ kind: 'ExportRequested' }) });
    await request('later', { acceptedAt: 1 }); // the database adds the time
    const log = await followed(slot.consistentPoint);
    assert.equal(log.committed.flat().filter((topic) => topic === 'commands').length, 2);
    const forged = 'its seal is wrong: no gateway of this installation made it';
    assert.deepEqual(errors, [
      'a copy of the request of export whole is left out',
      ...Array.from({ length: 3 }, () => `a message of our prefix is no request and is left out: ${forged}`),
    ]);
  });

  /** What capture wrote of everything that was committed until now. */
  async function followed(from: Lsn): Promise<MemoryLog> {
    const log = new MemoryLog();
    const stop = new AbortController();
    const { systemId, timeline } = catalog;
    const coverage = source.coverageOf(catalog);
    const start = { ...EMPTY_POSITION, slot: name, systemId, timeline, coverage, lsn: from };
    const { rows } = await client.query<{ end: string }>('SELECT pg_current_wal_lsn() AS end');
    const end = rows[0]?.end ?? '';
    const following = new Following(
      optionsFor(log, (lsn) => lsn >= end && stop.abort()),
      start,
    );
    await following.run(stop.signal);
    return log;
  }

  /** @param changes made after the seal */
  function request(jobId: string, changes: object = {}): Promise<unknown> {
    const sealed = {
      kind: 'ExportRequested',
      jobId,
      clientId: 'c',
      requestUrl: 'http://x',
      parameters: { types: [], outputFormat: 'ndjson' },
    };
    const message = { ...sealed, acceptedAt: 0, seal: SEAL.of(sealed), ...changes };
    return client.query('SELECT pg_logical_emit_message(true, $1, $2::text)', [
      PREFIX,
      JSON.stringify(message),
    ]);
  }

  function optionsFor(log: CaptureLog, onPosition: (lsn: string) => void): FollowingOptions {
    const nothing = (): void => undefined;
    const unused = (): never => assert.fail('nothing but commands is read from the log');
    const none = async (topic: string): Promise<[]> => (topic === 'commands' ? [] : unused());
    const logger = {
      ...{ debug: nothing, info: nothing, warn: nothing },
      error: (_: object, text: string) => void errors.push(text),
    };
    const resources: FollowingOptions['destination']['resources'] = {
      open: async () => log,
      reader: {
        topics: unused,
        ends: none,
        offsetsAt: none,
        follow: unused,
        read: unused,
        readBackward: unused,
        close: unused,
      },
      topics: {
        topicOf: (type) => type,
        zones: 'zones',
        ensure: async () => ({ id: 'id', starts: [], ends: [] }),
        states: async () => [],
        identities: async () => new Map(),
        list: async () => [],
        deleteAll: async () => undefined,
      },
      changes: { encode: () => Buffer.alloc(0), decode: unused },
      encodeZone: () => Buffer.alloc(0),
      positions: {
        topic: 'position',
        key: 'prefix',
        read: async () => undefined,
        encode: ({ lsn }) => {
          onPosition(formatLsn(lsn));
          return Buffer.alloc(0);
        },
      },
    };
    return {
      source,
      destination: {
        log,
        resources,
        metrics: { change: nothing, problem: nothing, reached: nothing, lag: new CaptureLag(Date.now) },
        problems: new ProblemLog(logger, Date.now),
        clock: Date.now,
      },
      requests: {
        schema: 'headwater',
        messagePrefix: PREFIX,
        seal: SEAL,
        audit: { record: () => Promise.resolve() },
        reloads: NO_RELOADS,
        topic: 'commands',
        encode: () => Buffer.alloc(0),
        maxExportMs: 3_600_000,
      },
      rows: { maxBytes: 1_000_000 },
      logger,
      health: { ready: nothing },
    };
  }
});

async function administer(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: sharedStack().postgresUrl });
  await client.connect();
  await client.query(sql);
  await client.end();
}
