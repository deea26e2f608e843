import { HeadwaterError } from '../../../base/errors.ts';
import { release } from '../../../base/buffers.ts';
import type { Cluster } from '../wire/cluster.ts';
import * as protocol from '../wire/protocol.ts';
import type { FetchedPartition, FetchRange } from '../wire/protocol.ts';

/** Bytes asked for in one call; a single range may ask for more. */
const MAX_BYTES = 8 << 20;

/** The fetched bytes of one partition. */
export interface Fetched extends FetchedPartition {
  /** Frees its memory. The caller must not use it any more. The garbage collector may also free it. */
  readonly release: () => void;
}

interface Asked {
  readonly range: FetchRange;
  readonly resolve: (fetched: Fetched) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Fetches from the leaders of partitions, with one running call at each. Fetches that are requested meanwhile go together into the next
 * call, because a small export has many small ranges and a call costs more than reading them.
 */
export class FetchQueue {
  readonly #cluster: Cluster;
  readonly #wait: number;
  /** Waiting fetches, by the leader that is being asked. */
  readonly #waiting = new Map<string, Asked[]>();

  /** @param wait ms that a broker may wait when it has nothing yet */
  constructor(cluster: Cluster, wait: number) {
    this.#cluster = cluster;
    this.#wait = wait;
  }

  async fetch(range: FetchRange): Promise<Fetched> {
    const leader = await this.#cluster.leader(range.topic, range.partition);
    return new Promise((resolve, reject) => {
      const asked = { range, resolve, reject };
      const waiting = this.#waiting.get(leader);
      if (waiting) {
        waiting.push(asked);
        return;
      }
      this.#waiting.set(leader, [asked]);
      // A caller that needs several ranges asks for them at once.
      setImmediate(() => void this.#run(leader));
    });
  }

  /** Forgets the leaders of a topic's partitions, so that they are looked up again. */
  forget(topic: string): void {
    this.#cluster.forget(topic);
  }

  async #run(leader: string): Promise<void> {
    const waiting = this.#waiting.get(leader) ?? [];
    while (waiting.length > 0) {
      const asked = takeTogether(waiting);
      try {
        const ranges = asked.map(({ range }) => range);
        const answer = await this.#cluster.call(leader, protocol.fetch(ranges, this.#wait));
        waiting.unshift(...hand(answer, asked));
      } catch (error) {
        // Waiting fetches would ask the same broker, so they look up the leader again.
        for (const { reject } of [...asked, ...waiting.splice(0)]) reject(error);
      }
    }
    this.#waiting.delete(leader);
  }
}

/** Takes the fetches for one call: each partition once, up to a number of bytes. */
function takeTogether(waiting: Asked[]): Asked[] {
  const taken: Asked[] = [];
  const left: Asked[] = [];
  const partitions = new Set<string>();
  let bytes = 0;
  for (const one of waiting.splice(0)) {
    const { topic, partition, maxBytes } = one.range;
    const name = `${topic}/${partition}`;
    if (taken.length > 0 && (partitions.has(name) || bytes + maxBytes > MAX_BYTES)) {
      left.push(one);
      continue;
    }
    partitions.add(name);
    bytes += maxBytes;
    taken.push(one);
  }
  waiting.push(...left);
  return taken;
}

/** Gives each fetch its part of the answer. Returns the fetches that must be sent again. */
function hand(answer: readonly FetchedPartition[], asked: readonly Asked[]): Asked[] {
  const again: Asked[] = [];
  let users = asked.length;
  for (const [i, one] of asked.entries()) {
    const { topic, partition, from } = one.range;
    const fetched = answer.find((part) => part.topic === topic && part.partition === partition);
    if (!fetched) throw new HeadwaterError('unavailable', `Kafka's answer lacks ${topic}/${partition}`);
    // The first of a call gets a whole batch, however large; another whose batch is over its limit gets nothing: it must be first.
    const tooLarge = i > 0 && fetched.errorCode === 0 && fetched.records.length === 0;
    if (tooLarge && fetched.lastStableOffset > from) {
      users--;
      again.push(one);
      continue;
    }
    one.resolve({
      ...fetched,
      release: () => {
        if (--users === 0) release(fetched.records);
      },
    });
  }
  return again;
}
