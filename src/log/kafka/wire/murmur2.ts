const SEED = 0x9747b28c;
const M = 0x5bd1e995;
const R = 24;

/** The hash by which Kafka's clients choose a key's partition: MurmurHash2, 32 bits, of 4 bytes little-endian at a time. */
export function murmur2(data: Uint8Array): number {
  const whole = data.length & ~3;
  let hash = SEED ^ data.length;
  for (let at = 0; at < whole; at += 4) {
    let k =
      byte(data, at) | (byte(data, at + 1) << 8) | (byte(data, at + 2) << 16) | (byte(data, at + 3) << 24);
    k = Math.imul(k, M);
    k = Math.imul(k ^ (k >>> R), M);
    hash = Math.imul(hash, M) ^ k;
  }
  const rest = data.length - whole;
  if (rest > 2) hash ^= byte(data, whole + 2) << 16;
  if (rest > 1) hash ^= byte(data, whole + 1) << 8;
  if (rest > 0) hash = Math.imul(hash ^ byte(data, whole), M);
  hash = Math.imul(hash ^ (hash >>> 13), M);
  return hash ^ (hash >>> 15);
}

function byte(data: Uint8Array, at: number): number {
  return data[at] as number;
}
