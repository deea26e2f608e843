import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../e2e/random.ts';
import { inSync, moveLeader, partitionsOfTopics } from '../support/broker-moves.ts';
import { BROKER_IDS } from '../support/broker-properties.ts';
import type { Brokers } from '../support/brokers.ts';

export const BROKER_FAULTS = [
  'leaders move',
  'coordinators move',
  'a broker is killed and comes back',
  'a broker is lost with its data, and an empty one takes its place',
  'a broker is frozen and goes on',
  'all brokers restart, one after the other',
] as const;
export type BrokerFault = (typeof BROKER_FAULTS)[number];

/** Partitions that move in one fault. */
const MOVES = 3;
/** ms; longer than a broker's session, so that the others take over its leaders. */
const AWAY: readonly [number, number] = [4_000, 12_000];

export interface Scene {
  readonly brokers: Brokers;
  readonly random: Random;
  /** Prefix of the topics whose leaders move. */
  readonly prefix: string;
}

/** Waits until all copies are in sync, then plays the fault. Resolves when the fault is over; the cluster may still be recovering. */
export async function play(fault: BrokerFault, { brokers, random, prefix }: Scene): Promise<void> {
  await inSync(brokers);
  const id = random.pick(BROKER_IDS);
  switch (fault) {
    case 'leaders move':
      return move(prefix);
    case 'coordinators move':
      await move('__transaction_state');
      return move('__consumer_offsets');
    case 'a broker is killed and comes back':
      await brokers.end(id, 'SIGKILL');
      await delay(random.int(...AWAY));
      return brokers.run(id);
    case 'a broker is lost with its data, and an empty one takes its place':
      await brokers.lose(id);
      await delay(random.int(...AWAY));
      return brokers.run(id);
    case 'a broker is frozen and goes on':
      brokers.freeze(id);
      await delay(random.int(...AWAY));
      return brokers.thaw(id);
    case 'all brokers restart, one after the other':
      for (const one of BROKER_IDS) {
        await brokers.restart(one, 'SIGTERM');
        await inSync(brokers);
      }
  }

  async function move(prefix: string): Promise<void> {
    const partitions = await partitionsOfTopics(brokers, prefix);
    for (let i = 0; i < MOVES; i++) {
      const { topic, partition } = random.pick(partitions as [(typeof partitions)[0], ...typeof partitions]);
      await moveLeader(brokers, topic, partition);
    }
  }
}
