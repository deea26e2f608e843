import type { TopicSettings } from './declaration.ts';

const FOREVER = '9223372036854775807';

/**
 * The settings that every topic declares, so that nothing is left to the defaults of a broker: no stored record is lost with a broker, a
 * replica that lacks records never becomes the leader, batches keep the compression they were sent with (none or
 * zstd, since readers know no other), and no clock makes the broker refuse a record.
 */
export function durable(
  { replicationFactor }: TopicSettings,
  time: 'of the source' | 'of the broker',
): Readonly<Record<string, string>> {
  return {
    // With three copies a write needs two, so one broker may be unreachable; with fewer copies, that would stop every write.
    'min.insync.replicas': replicationFactor >= 3 ? '2' : '1',
    'unclean.leader.election.enable': 'false',
    'compression.type': 'producer',
    // Retention goes by the time of records: where the source's time is in them, its clock must not decide what is kept.
    'message.timestamp.type': time === 'of the source' ? 'CreateTime' : 'LogAppendTime',
    'message.timestamp.before.max.ms': FOREVER,
    'message.timestamp.after.max.ms': FOREVER,
  };
}
