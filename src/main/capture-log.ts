import { setTimeout as delay } from 'node:timers/promises';
import { HeadwaterError } from '../base/errors.ts';
import { offset } from '../base/positions.ts';
import type { ChangeCodec, ResourceLog, ResourceTopic } from '../capture/resource-log.ts';
import type { Position, TopicState } from '../events/position.ts';
import type { Zone } from '../events/zone.ts';
import type { Codec } from '../events/schema-ids.ts';
import { CaptureAppender } from '../log/kafka/append/capture-appender.ts';
import type { LogAccess } from './log-access.ts';

const METADATA_PATIENCE = 10_000;

/** The codecs of the records that capture writes. */
export interface CaptureCodecs {
  readonly change: ChangeCodec;
  readonly control: { readonly position: Codec<Position>; readonly zone: Codec<Zone> };
}

/**
 * Returns the port of capture to the log, on Kafka.
 * @param transactionTimeoutMs Kafka aborts a transaction after this time; a minute by default
 */
export function resourceLog(
  log: LogAccess,
  { change, control }: CaptureCodecs,
  prefix: string,
  transactionTimeoutMs?: number,
): ResourceLog {
  const { names, reader, admin, cluster } = log;
  return {
    reader,
    changes: change,
    encodeZone: (zone) => control.zone.encode(zone),
    open: async () => {
      const appender = await CaptureAppender.open(cluster, `${prefix}.capture`, transactionTimeoutMs);
      for (const topic of [names.position, names.commands, names.zones])
        appender.declare(topic, await reader.ends(topic));
      return appender;
    },
    topics: {
      topicOf: (type) => names.resource(type),
      zones: names.zones,
      ensure: async (type) => {
        const { topic, partitions } = await admin.ensureResourceTopic(type);
        return onceKnown(log, topic, partitions);
      },
      list: () => admin.listResourceTypes(),
      states: async (types) => topicStates(log, [...types, ...(await admin.listResourceTypes())]),
      identities: async (types) => {
        const found = await reader.topics(types.map((type) => names.resource(type)));
        return new Map(types.flatMap((type) => entry(type, found.get(names.resource(type)))));
      },
      deleteAll: async () => {
        await admin.deleteResourceTopics();
        await admin.emptyTopic(names.zones); // the zones name offsets of the deleted topics
      },
    },
    positions: {
      topic: names.position,
      encode: (position) => control.position.encode(position),
      key: prefix,
      read: () => readPosition(log, control.position),
    },
  };
}

/** Waits until the brokers know all partitions of a new topic. */
async function onceKnown(log: LogAccess, topic: string, partitions: number): Promise<ResourceTopic> {
  const deadline = Date.now() + METADATA_PATIENCE;
  for (;;) {
    const found = (await log.reader.topics([topic])).get(topic);
    const ends = await log.reader.ends(topic);
    if (found && ends.length === partitions && ends.every((end) => end !== undefined))
      return { id: found.id, starts: await log.reader.starts(topic), ends };
    if (Date.now() > deadline)
      throw new HeadwaterError('unavailable', `Kafka does not know ${topic} yet`, { subject: topic });
    await delay(10);
  }
}

function entry<V>(key: string, value: V | undefined): [string, V][] {
  return value === undefined ? [] : [[key, value]];
}

/** Returns the topics of these types in the cluster. Types without a topic are left out. */
export async function topicStates(
  { names, reader }: Pick<LogAccess, 'names' | 'reader'>,
  types: readonly string[],
): Promise<TopicState[]> {
  const found = await reader.topics([...new Set(types)].map((type) => names.resource(type)));
  const states: TopicState[] = [];
  for (const type of new Set(types)) {
    const topic = names.resource(type);
    const is = found.get(topic);
    if (!is) continue;
    const [starts, ends] = [await reader.starts(topic), await reader.ends(topic)];
    states.push({ type, id: is.id, starts, ends });
  }
  return states;
}

/** Returns the newest position, of any key: an earlier release used the slot as key. */
async function readPosition(log: LogAccess, codec: Codec<Position>): Promise<Position | undefined> {
  const topic = log.names.position;
  const { signal } = new AbortController();
  const ends = await log.reader.ends(topic);
  // The topic existed when this process started, but a broker that has just restarted may not know it yet.
  if (ends.length === 0)
    throw new HeadwaterError('unavailable', `Kafka does not know ${topic} yet`, { subject: topic });
  for (const [partition, to] of ends.entries()) {
    for await (const batch of log.reader.readBackward({ topic, partition, from: offset(0), to }, signal)) {
      const last = batch.end - 1;
      if (last >= batch.begin)
        return codec.decode(batch.data.subarray(batch.valueStart(last), batch.valueEnd(last)));
    }
  }
  return undefined;
}
