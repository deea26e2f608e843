import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import type { Component, StackAddresses } from './contract.ts';

/** Asks a server once. Throws the reason if it cannot serve yet. */
export type Probe = () => Promise<void>;

export function probesOf(addresses: StackAddresses): Record<Component, Probe> {
  return {
    postgres: () => probePostgres(addresses.postgresUrl),
    kafka: () => probeKafka(addresses.kafkaBrokers[0] ?? ''),
    registry: () => probeRegistry(addresses.registryUrl),
  };
}

export async function probePostgres(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * Sends one Metadata request and expects at least one live broker in the answer: the port opens before the broker is
 * unfenced. It builds the 14 bytes itself, because only the log's adapter may use a Kafka client.
 */
export async function probeKafka(address: string): Promise<void> {
  const colon = address.lastIndexOf(':');
  const answer = await new Promise<Buffer>((resolve, reject) => {
    const socket = connect({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)) });
    const fail = (reason: string) => () => {
      socket.destroy();
      reject(new HeadwaterError('unavailable', reason));
    };
    let received = Buffer.alloc(0);
    socket.setTimeout(2000, fail('Kafka does not answer'));
    socket.once('connect', () => socket.write(metadataRequest()));
    socket.once('close', fail('Kafka closed the connection'));
    socket.once('error', (error) => {
      fail(error.message)();
    });
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return;
      resolve(received);
      socket.destroy();
    });
  });
  // size int32, correlation id int32, then the array of brokers
  if (answer.readInt32BE(8) < 1) throw new HeadwaterError('unavailable', 'Kafka has no live broker yet');
}

/** Metadata v1 for no topics; see https://kafka.apache.org/protocol#The_Messages_Metadata. */
function metadataRequest(): Buffer {
  const request = Buffer.alloc(18);
  request.writeInt32BE(14, 0); // size of what follows
  request.writeInt16BE(3, 4); // Metadata
  request.writeInt16BE(1, 6); // version
  request.writeInt32BE(1, 8); // correlation id
  request.writeInt16BE(-1, 12); // no client id
  request.writeInt32BE(0, 14); // no topics
  return request;
}

export async function probeRegistry(url: string): Promise<void> {
  const response = await fetch(`${url}/subjects`, { signal: AbortSignal.timeout(5000) });
  await response.body?.cancel();
  if (response.status !== 200) {
    throw new HeadwaterError('unavailable', `the schema registry answers ${String(response.status)}`);
  }
}

/** Probes until it succeeds. Throws if the server has ended (`alive`) or the signal fires. */
export async function waitUntilReady(
  what: string,
  probe: Probe,
  signal: AbortSignal,
  alive: () => boolean = () => true,
): Promise<void> {
  for (;;) {
    let last: unknown;
    try {
      await probe();
      return;
    } catch (error) {
      last = error;
    }
    if (signal.aborted || !alive()) {
      const reason = signal.aborted
        ? `did not become ready: ${messageOf(last)}`
        : 'ended while it was starting';
      throw new HeadwaterError('unavailable', `${what} ${reason}`, { cause: last });
    }
    await delay(50);
  }
}

export async function waitForAddresses(addresses: StackAddresses, signal: AbortSignal): Promise<void> {
  const probes = probesOf(addresses);
  await Promise.all([
    waitUntilReady('PostgreSQL', probes.postgres, signal),
    waitUntilReady('Kafka', probes.kafka, signal),
    waitUntilReady('The schema registry', probes.registry, signal),
  ]);
}
