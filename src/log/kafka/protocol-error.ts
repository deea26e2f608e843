/** The coordinator still writes the markers of the transaction before. */
export const CONCURRENT_TRANSACTIONS = 51;

/** Those that a person may have to act on, or meet in a log. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'OFFSET_OUT_OF_RANGE'],
  [3, 'UNKNOWN_TOPIC_OR_PARTITION'],
  [5, 'LEADER_NOT_AVAILABLE'],
  [6, 'NOT_LEADER_OR_FOLLOWER'],
  [10, 'MESSAGE_TOO_LARGE'],
  [14, 'COORDINATOR_LOAD_IN_PROGRESS'],
  [15, 'COORDINATOR_NOT_AVAILABLE'],
  [16, 'NOT_COORDINATOR'],
  [19, 'NOT_ENOUGH_REPLICAS'],
  [29, 'TOPIC_AUTHORIZATION_FAILED'],
  [31, 'CLUSTER_AUTHORIZATION_FAILED'],
  [33, 'UNSUPPORTED_SASL_MECHANISM'],
  [35, 'UNSUPPORTED_VERSION'],
  [45, 'OUT_OF_ORDER_SEQUENCE_NUMBER'],
  [47, 'INVALID_PRODUCER_EPOCH'],
  [CONCURRENT_TRANSACTIONS, 'CONCURRENT_TRANSACTIONS'],
  [53, 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED'],
  [58, 'SASL_AUTHENTICATION_FAILED'],
  [90, 'PRODUCER_FENCED'],
]);

/** A broker's own refusal. Codes are Kafka's protocol guide's. */
export class ProtocolError extends Error {
  readonly code: number;

  constructor(api: string, code: number) {
    super(`${api}: error ${code}${NAMES.has(code) ? ` (${NAMES.get(code) ?? ''})` : ''}`);
    this.name = 'ProtocolError';
    this.code = code;
  }
}

export function throwIfFailed(api: string, code: number): void {
  if (code !== 0) throw new ProtocolError(api, code);
}
