import { murmur2 } from './kafka/wire/murmur2.ts';

/** Returns the partition of a key, as Kafka's clients choose it. */
export function partitionOf(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions;
}
