import { setTimeout as delay } from 'node:timers/promises';
import { backoff } from '../../../base/clock.ts';
import { HeadwaterError } from '../../../base/errors.ts';
import type { Cluster } from './cluster.ts';
import { code, protocolCode } from './protocol-error.ts';
import type { CoordinatorKind } from './protocol-write.ts';
import type { Call } from './protocol.ts';

const { CONCURRENT_TRANSACTIONS, NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE } = code;
const MOVED: ReadonlySet<number> = new Set([
  NOT_COORDINATOR,
  COORDINATOR_NOT_AVAILABLE,
  code.COORDINATOR_LOAD_IN_PROGRESS,
]);
/** Errors of a partition or a broker that pass after a while. */
const PASSING: ReadonlySet<number> = new Set([
  ...[code.UNKNOWN_TOPIC_OR_PARTITION, code.LEADER_NOT_AVAILABLE, CONCURRENT_TRANSACTIONS, ...MOVED],
  code.UNSTABLE_OFFSET_COMMIT,
  ...[code.NOT_LEADER_OR_FOLLOWER, code.NOT_ENOUGH_REPLICAS, code.NOT_ENOUGH_REPLICAS_AFTER_APPEND],
  ...[code.CORRUPT_MESSAGE, code.REQUEST_TIMED_OUT, code.BROKER_NOT_AVAILABLE, code.REPLICA_NOT_AVAILABLE],
  ...[code.NETWORK_EXCEPTION, code.KAFKA_STORAGE_ERROR, code.THROTTLING_QUOTA_EXCEEDED],
  ...[code.FENCED_LEADER_EPOCH, code.UNKNOWN_LEADER_EPOCH],
]);

/** Calls the coordinator of a group or a transactional id, wherever it has moved. */
export async function coordinate<T>(
  cluster: Cluster,
  of: { readonly kind: CoordinatorKind; readonly key: string },
  call: Call<T>,
): Promise<T> {
  return patiently(cluster, async () => {
    const address = await cluster.coordinator(of.kind, of.key);
    try {
      return await cluster.call(address, call);
    } catch (error) {
      if (MOVED.has(protocolCode(error) ?? 0)) cluster.forgetCoordinator(of.kind, of.key);
      throw error;
    }
  });
}

/**
 * Tries again while what went wrong may pass. A coordinator that still writes the last transaction's markers says so, and is
 * asked again within milliseconds (a general client waits a retry delay of some hundred).
 */
export async function patiently<T>(cluster: Cluster, attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + cluster.patienceMs;
  for (let tried = 0; ; tried++) {
    try {
      return await attempt();
    } catch (error) {
      if (!isPassing(error) || cluster.closed || performance.now() > deadline) throw error;
      const busy = protocolCode(error) === CONCURRENT_TRANSACTIONS;
      await delay(backoff(tried, Math.random, busy ? 1 : 20, busy ? 50 : 1_000));
    }
  }
}

/** Returns true if the same call may succeed later. */
export function isPassing(error: unknown): boolean {
  const errorCode = protocolCode(error);
  if (errorCode !== undefined) return PASSING.has(errorCode);
  return error instanceof HeadwaterError && error.retryable;
}
