import { errorName } from './error-names.ts';

/** The error codes that this code treats specially. */
export const code = {
  OFFSET_OUT_OF_RANGE: 1,
  CORRUPT_MESSAGE: 2,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  LEADER_NOT_AVAILABLE: 5,
  NOT_LEADER_OR_FOLLOWER: 6,
  REQUEST_TIMED_OUT: 7,
  BROKER_NOT_AVAILABLE: 8,
  REPLICA_NOT_AVAILABLE: 9,
  MESSAGE_TOO_LARGE: 10,
  NETWORK_EXCEPTION: 13,
  COORDINATOR_LOAD_IN_PROGRESS: 14,
  COORDINATOR_NOT_AVAILABLE: 15,
  NOT_COORDINATOR: 16,
  RECORD_LIST_TOO_LARGE: 18,
  NOT_ENOUGH_REPLICAS: 19,
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: 20,
  INVALID_TIMESTAMP: 32,
  INVALID_PRODUCER_EPOCH: 47,
  INVALID_TXN_STATE: 48,
  /** The coordinator still writes the markers of the transaction before. */
  CONCURRENT_TRANSACTIONS: 51,
  OPERATION_NOT_ATTEMPTED: 55,
  KAFKA_STORAGE_ERROR: 56,
  FENCED_LEADER_EPOCH: 74,
  UNKNOWN_LEADER_EPOCH: 75,
  INVALID_RECORD: 87,
  UNSTABLE_OFFSET_COMMIT: 88,
  THROTTLING_QUOTA_EXCEEDED: 89,
  PRODUCER_FENCED: 90,
} as const;

/** The resources of a call. Authorization errors name them. */
export interface KafkaResources {
  readonly topic?: string;
  readonly group?: string;
  readonly transactionalId?: string;
}

/** A broker's own refusal. Codes are Kafka's protocol guide's. */
export class ProtocolError extends Error {
  readonly code: number;
  readonly resources: KafkaResources;

  constructor(api: string, errorCode: number, resources: KafkaResources = {}) {
    const { topic, group, transactionalId } = resources;
    const about = [
      topic === undefined ? '' : ` of topic ${topic}`,
      group === undefined ? '' : ` of group ${group}`,
      transactionalId === undefined ? '' : ` of transactional id ${transactionalId}`,
    ];
    super(`${api}${about.join('')}: error ${errorCode} (${errorName(errorCode)})`);
    this.name = 'ProtocolError';
    this.code = errorCode;
    this.resources = resources;
  }
}

export function throwIfFailed(api: string, errorCode: number, resources?: KafkaResources): void {
  if (errorCode !== 0) throw new ProtocolError(api, errorCode, resources);
}

/** Kafka's own error behind an error; undefined when it is none of Kafka's. */
export function protocolError(error: unknown): ProtocolError | undefined {
  if (error instanceof ProtocolError) return error;
  return error instanceof Error && error.cause !== undefined ? protocolError(error.cause) : undefined;
}

export function protocolCode(error: unknown): number | undefined {
  return protocolError(error)?.code;
}

/** Whether Kafka will never take these records, however often they are sent. */
export function isRefusalOfRecords(errorCode: number): boolean {
  return REFUSALS.has(errorCode);
}

const REFUSALS: ReadonlySet<number> = new Set([
  code.MESSAGE_TOO_LARGE,
  code.RECORD_LIST_TOO_LARGE,
  code.INVALID_TIMESTAMP,
  code.INVALID_RECORD,
]);
