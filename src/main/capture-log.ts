import { setTimeout as delay } from 'node:timers/promises';
import { HeadwaterError } from '../base/errors.ts';
import { offset } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import type { CaptureOptions } from '../capture/capture-options.ts';
import type { Position } from '../events/position.ts';
import type { Codec } from '../events/schema-ids.ts';
import { CaptureAppender } from '../log/kafka/capture-appender.ts';
import type { LogAccess } from './log-access.ts';

const METADATA_PATIENCE = 10_000;

/** Capture's view of the log, on Kafka. */
export function captureLog(
  log: LogAccess,
  codec: Codec<Position>,
  slot: string,
): Pick<CaptureOptions, 'openLog' | 'topics' | 'positions'> {
  const { names, reader, admin, cluster } = log;
  return {
    openLog: async () => {
      const appender = await CaptureAppender.open(cluster, `${names.position}.${slot}`);
      for (const topic of [names.position, names.commands, names.zones])
        appender.declare(topic, await reader.ends(topic));
      return appender;
    },
    topics: {
      topicOf: (type) => names.resource(type),
      zones: names.zones,
      ensure: async (type) => {
        const { topic, partitions } = await admin.ensureResourceTopic(type);
        return endsOnceKnown(log, topic, partitions);
      },
      list: () => admin.listResourceTypes(),
      deleteAll: async () => {
        await admin.deleteResourceTopics();
        await admin.emptyTopic(names.zones); // their offsets begin anew
      },
    },
    positions: {
      topic: names.position,
      encode: (position) => codec.encode(position),
      read: (name) => readPosition(log, codec, name),
    },
  };
}

/** A topic is there before every broker knows of all its partitions. */
async function endsOnceKnown(log: LogAccess, topic: string, partitions: number): Promise<readonly Offset[]> {
  const deadline = Date.now() + METADATA_PATIENCE;
  for (;;) {
    const ends = await log.reader.ends(topic);
    if (ends.length === partitions && ends.every((end) => end !== undefined)) return ends;
    if (Date.now() > deadline)
      throw new HeadwaterError('unavailable', `Kafka does not know ${topic} yet`, { subject: topic });
    await delay(10);
  }
}

async function readPosition(
  log: LogAccess,
  codec: Codec<Position>,
  slot: string,
): Promise<Position | undefined> {
  const topic = log.names.position;
  const { signal } = new AbortController();
  for (const [partition, to] of (await log.reader.ends(topic)).entries()) {
    for await (const batch of log.reader.readBackward({ topic, partition, from: offset(0), to }, signal)) {
      for (let i = batch.end - 1; i >= batch.begin; i--) {
        if (batch.keyText(i) === slot)
          return codec.decode(batch.data.subarray(batch.valueStart(i), batch.valueEnd(i)));
      }
    }
  }
  return undefined;
}
