import type { Handle, QueueOptions, WorkQueue } from '../../log.ts';
import { Membership } from './membership.ts';
import type { WorkQueueOptions } from './membership.ts';

/**
 * A work queue on a Kafka consumer group. The group only decides which member works on which partition. That a record is handled once
 * rests on ExclusiveCommitter alone. So a member that hears late of a rebalance does no harm, and lanes continue while the group is
 * unreachable.
 * A crash leaves at most one open transaction per partition, which the next holder aborts.
 */
export class KafkaWorkQueue implements WorkQueue {
  readonly #options: WorkQueueOptions;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  async run(options: QueueOptions, handle: Handle, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Membership(this.#options, options, handle).run(signal);
  }
}
