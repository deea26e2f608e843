import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { systemClock } from '../../src/base/clock.ts';
import type { Logger } from '../../src/base/service.ts';
import { Capture } from '../../src/capture/capture.ts';
import { CaptureLag } from '../../src/capture/capture-lag.ts';
import { ProblemLog } from '../../src/capture/problem-log.ts';
import { presetOf } from '../../src/capture/presets/presets.ts';
import { Source } from '../../src/capture/source.ts';
import { parseSettings } from '../../src/config/settings.ts';
import { RequestSeal } from '../../src/events/request-seal.ts';
import { schemaOf } from '../../src/jobs/schema.ts';
import type { LogReader } from '../../src/log/log.ts';
import { resourceLog } from '../../src/main/capture-log.ts';
import { LogAccess } from '../../src/main/log-access.ts';
import { uniqueIdentifier, uniqueName } from '../support/names.ts';
import { sharedStack } from '../support/stack.ts';

const TRANSACTION_TIMEOUT = 2_000;
/** The broker looks for transactions that are too old every 10 s. */
const STALL = TRANSACTION_TIMEOUT + 11_000;
/** Of 20 kB each: more than is flushed at a time, and than sockets hold. */
const MANY = 2_000;
const FEW = 10;
/** A connection that has sent so much sends rows or the stream. */
const BUSY_BYTES = 1 << 20;

const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Stands between capture and PostgreSQL, and can hold back what PostgreSQL sends. */
class Detour {
  readonly #server: net.Server;
  readonly #upstreams = new Set<net.Socket>();

  constructor(to: URL) {
    this.#server = net.createServer((client) => {
      const upstream = net.connect(Number(to.port), to.hostname);
      this.#upstreams.add(upstream);
      const end = (): void => {
        this.#upstreams.delete(upstream);
        client.destroy();
        upstream.destroy();
      };
      for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
      upstream.on('data', (chunk) => {
        client.write(chunk);
      });
      client.pipe(upstream);
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  stall(ms: number): void {
    const busy = [...this.#upstreams].filter(({ bytesRead }) => bytesRead > BUSY_BYTES); // the lead's session must answer
    for (const upstream of busy) {
      upstream.pause();
      setTimeout(() => upstream.resume(), ms);
    }
  }

  close(): Promise<void> {
    for (const upstream of this.#upstreams) upstream.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

const resolved = (): Promise<void> => Promise.resolve();
const NO_RELOADS = { began: resolved, ends: resolved, none: resolved };

describe('capture, with a Kafka transaction timeout of 2 s', function () {
  this.timeout(240_000);
  const name = uniqueIdentifier('slow');
  const prefix = uniqueName('slow');
  const detour = new Detour(new URL(sharedStack().postgresUrl));
  let pool: pg.Pool;
  let log: LogAccess;
  let url: string;
  /** Called for each change, before it is written. */
  let onChange: () => void = () => undefined;

  before(async () => {
    const { postgresUrl, kafkaBrokers, registryUrl } = sharedStack();
    await administer(`CREATE DATABASE ${name}`);
    const direct = new URL(postgresUrl);
    direct.pathname = `/${name}`;
    pool = new pg.Pool({ connectionString: direct.href });
    direct.port = String(await detour.listen());
    direct.hostname = '127.0.0.1';
    url = direct.href;
    const settings = parseSettings(
      {
        HEADWATER_SOURCE_URL: url,
        HEADWATER_SLOT: name,
        HEADWATER_KAFKA_BROKERS: kafkaBrokers.join(','),
        HEADWATER_REGISTRY_URL: registryUrl,
        HEADWATER_TOPIC_PREFIX: prefix,
        HEADWATER_RESOURCE_PARTITIONS: '1',
        HEADWATER_URL_SECRET: 'x'.repeat(32),
      },
      ['capture'],
    );
    log = new LogAccess(settings, SILENT);
    await pool.query(
      'CREATE TABLE resource (type text, id text, version bigint, last_updated timestamptz, body text, deleted boolean DEFAULT false, PRIMARY KEY (type, id))',
    );
    await insert('Observation', 'loaded', MANY);
    await insert('Patient', 'loaded', FEW);
  });

  after(async () => {
    await detour.close();
    await dropSlot();
    await pool.end();
    await administer(`DROP DATABASE ${name} WITH (FORCE)`);
    const admin = log.kafka.admin();
    await admin.connect();
    await admin.deleteTopics({
      topics: (await admin.listTopics()).filter((topic) => topic.startsWith(prefix)),
    });
    await admin.disconnect();
    await log.close();
  });

  it('loads what PostgreSQL sends with a pause', async () => {
    stallAt(MANY / 2);
    await whileCapturing(() => recorded('Observation', MANY));
    assert.equal(await records('Patient'), FEW);
  });

  it('follows a source transaction that PostgreSQL sends with a pause', async () => {
    await whileCapturing(async () => {
      stallAt(MANY / 2);
      await insert('Observation', 'followed', MANY);
      await recorded('Observation', 2 * MANY);
    });
  });

  it('deletes, after a reload, what is slowly read from the log', async () => {
    await dropSlot();
    await pool.query(`DELETE FROM resource WHERE id LIKE 'loaded%'`);
    await whileCapturing(() => Promise.resolve(), STALL);
    assert.equal(await records('Observation'), 2 * MANY + MANY + MANY); // of the reload, and deletes
    assert.equal(await records('Patient'), FEW + FEW);
  });

  it('deletes, at a TRUNCATE, what is slowly read from the log', async () => {
    await insert('Patient', 'again', FEW);
    await whileCapturing(async () => {
      await recorded('Patient', 3 * FEW);
      await pool.query('TRUNCATE resource');
      await recorded('Observation', 5 * MANY);
      await recorded('Patient', 4 * FEW);
    }, STALL);
  });

  function stallAt(change: number): void {
    let seen = 0;
    onChange = () => {
      if (++seen === change) detour.stall(STALL);
    };
  }

  /** Runs capture, which must not fail; the work begins when it follows the stream. */
  async function whileCapturing(work: () => Promise<void>, pauseMs = 0): Promise<void> {
    const stop = new AbortController();
    const ready: PromiseWithResolvers<void> = Promise.withResolvers();
    const running = (await captureThat(pauseMs, ready.resolve)).run(stop.signal);
    try {
      await Promise.race([ready.promise, running]);
      await Promise.race([work(), running]);
    } finally {
      stop.abort();
      onChange = () => undefined;
    }
    await running.catch((error: unknown) => assert.equal(error, stop.signal.reason));
  }

  async function captureThat(pauseMs: number, onReady: () => void): Promise<Capture> {
    const codecs = await log.codecs();
    const preset = presetOf({});
    const resources = resourceLog(log, codecs, prefix, TRANSACTION_TIMEOUT);
    return new Capture({
      prefix,
      source: new Source({ url, slot: name, publication: name, prefix, preset }),
      resources: { ...resources, reader: pauseMs === 0 ? log.reader : slow(log.reader, pauseMs) },
      requests: {
        audit: { record: () => Promise.resolve() },
        reloads: NO_RELOADS,
        schema: schemaOf(prefix),
        messagePrefix: prefix,
        seal: new RequestSeal('a secret of the tests'),
        topic: log.names.commands,
        encode: (command) => codecs.control.command.encode(command),
        maxExportMs: 3_600_000,
      },
      rows: { maxBytes: 1 << 20 },
      loadConnections: 1,
      problems: new ProblemLog(SILENT, systemClock),
      metrics: {
        change: () => onChange(),
        problem: () => undefined,
        reached: () => undefined,
        lag: new CaptureLag(systemClock),
      },
      clock: systemClock,
      newId: randomUUID,
      logger: SILENT,
      health: { ready: onReady, waiting: () => undefined },
    });
  }

  async function insert(type: string, id: string, count: number): Promise<void> {
    await pool.query(
      `INSERT INTO resource SELECT $1, $2 || i, 1, now(), jsonb_build_object('resourceType', $1::text, 'id', $2 || i,
         'text', repeat(md5(i::text), $4))
       FROM generate_series(1, $3) i`,
      [type, id, count, type === 'Patient' ? 1 : 600],
    );
  }

  async function records(type: string): Promise<number> {
    const topic = log.names.resource(type);
    const signal = AbortSignal.timeout(60_000);
    let count = 0;
    for (const [partition, to] of (await log.reader.ends(topic)).entries()) {
      const [from] = await log.reader.offsetsAt(topic, 0);
      if (from === undefined) continue;
      for await (const batch of log.reader.read({ topic, partition, from, to }, signal))
        count += batch.length;
    }
    return count;
  }

  /** Until the topic holds so many, and not one more. */
  async function recorded(type: string, count: number): Promise<void> {
    for (let found = 0; found < count;) {
      await delay(200); // there is no event to wait for
      found = await records(type);
      assert.ok(found <= count, `${found} records of ${type}, of which ${count} are wanted`);
    }
  }

  async function dropSlot(): Promise<void> {
    await pool.query(
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1',
      [name],
    );
  }
});

/** A reader that waits before all topics but the first that it reads backward. */
function slow(reader: LogReader, pauseMs: number): LogReader {
  let first: string | undefined;
  const readBackward: LogReader['readBackward'] = async function* (range, signal) {
    first ??= range.topic;
    const isFirst = range.topic === first || range.topic.endsWith('.position');
    if (!isFirst) await delay(pauseMs);
    yield* reader.readBackward(range, signal);
  };
  return new Proxy(reader, {
    get: (target, name) => {
      if (name === 'readBackward') return readBackward;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

async function administer(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: sharedStack().postgresUrl });
  await client.connect();
  await client.query(sql);
  await client.end();
}
