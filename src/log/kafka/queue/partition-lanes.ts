import type { EachBatchPayload } from 'kafkajs';
import { HeadwaterError } from '../../../base/errors.ts';
import type { Partition } from '../../log.ts';
import type { GroupSession } from './group-session.ts';
import type { QueueLane } from './queue-lane.ts';

export interface PartitionLanesOptions {
  /** The session that fetches now; another one after the group was unreachable. */
  readonly session: () => GroupSession;
  readonly newLane: (partition: Partition, health: LaneHealth) => QueueLane;
  /** Called with the error that ended a lane this member still holds. */
  readonly onFailure: (error: unknown) => void;
  /** Called when lanes were assigned or a lane recovered, if every lane is well. */
  readonly onWell: () => void;
}

/** Called when a lane begins or ends to wait for a server. */
export interface LaneHealth {
  onRoom(): void;
  onTrouble(): void;
  onRelief(): void;
}

/** The lanes of the partitions that the group has assigned to this member. */
export class PartitionLanes {
  readonly #options: PartitionLanesOptions;
  readonly #lanes = new Map<string, QueueLane>();
  /** Lanes that have not ended, among them lanes whose partition was taken away. */
  readonly #running = new Set<Promise<void>>();
  /** Lanes that wait for a server. */
  readonly #troubled = new Set<QueueLane>();
  #closed = false;

  constructor(options: PartitionLanesOptions) {
    this.#options = options;
  }

  /** The partitions of this member. */
  get partitions(): readonly Partition[] {
    return [...this.#lanes.values()].map((lane) => lane.partition);
  }

  /** Takes the partitions that the group has given to this member. Lanes that it keeps continue undisturbed. */
  assign(assignment: Readonly<Record<string, readonly number[]>>): void {
    if (this.#closed) return;
    const given = new Map<string, Partition>(
      Object.entries(assignment).flatMap(([topic, partitions]) =>
        partitions.map((partition) => [`${topic}/${partition}`, { topic, partition }] as const),
      ),
    );
    for (const [key, lane] of this.#lanes) {
      if (given.has(key)) {
        this.#fetchFor(lane);
      } else {
        lane.close();
        this.#lanes.delete(key);
        this.#troubled.delete(lane);
      }
    }
    const added = [...given]
      .filter(([key]) => !this.#lanes.has(key))
      .map(([key, partition]) => this.#add(key, partition));
    void Promise.all(added).then(() => this.#reportWell());
  }

  /** Hands a fetched batch to the lane of its partition. */
  take(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    const lane = this.#lanes.get(`${batch.topic}/${batch.partition}`);
    if (!lane)
      throw new HeadwaterError(
        'internal',
        `records of ${batch.topic}/${batch.partition}, which is another's`,
      );
    lane.offer(batch.messages);
    payload.resolveOffset(batch.lastOffset());
    if (!lane.hungry) this.#options.session().pause([lane.partition]);
    return Promise.resolve();
  }

  /** Lets every lane finish its record; no lane takes another. */
  close(): void {
    this.#closed = true;
    for (const lane of this.#lanes.values()) lane.close();
  }

  /** Resolves when every lane has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** Opens a lane. Nothing is fetched for it before its first offset is known. */
  async #add(key: string, partition: Partition): Promise<void> {
    const lane: QueueLane = this.#options.newLane(partition, {
      onRoom: () => this.#options.session().resume(partition),
      onTrouble: () => this.#troubled.add(lane),
      onRelief: () => {
        if (this.#troubled.delete(lane)) this.#reportWell();
      },
    });
    this.#lanes.set(key, lane);
    this.#options.session().pause([partition]);
    const opened = lane.open();
    const running = opened
      .then(() => lane.run())
      .catch((error: unknown) => {
        if (this.#lanes.get(key) === lane) this.#options.onFailure(error); // a handler's error is passed on as it is
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
    await opened.catch(() => undefined);
    if (this.#lanes.get(key) === lane) this.#fetchFor(lane); // otherwise its partition was taken away meanwhile
  }

  /** If the group has no committed offset, kafkajs begins at the beginning by itself. */
  #fetchFor(lane: QueueLane): void {
    if (this.#closed) return;
    const session = this.#options.session();
    if (!lane.hungry) {
      session.pause([lane.partition]);
      return;
    }
    if (lane.next !== undefined) session.seek(lane.partition, lane.next);
    session.resume(lane.partition);
  }

  #reportWell(): void {
    if (this.#troubled.size === 0 && !this.#closed) this.#options.onWell();
  }
}
