import { HeadwaterError, messageOf } from '../../../base/errors.ts';
import type { ErrorCode } from '../../../base/errors.ts';
import { errorName } from './error-names.ts';
import { protocolError, ProtocolError } from './protocol-error.ts';
import type { KafkaResources } from './protocol-error.ts';

const OUTDATED: ReadonlySet<string> = new Set(['PRODUCER_FENCED', 'INVALID_PRODUCER_EPOCH']);
const TOO_LARGE: ReadonlySet<string> = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']);
/** The broker refuses this record whenever it comes. */
const UNACCEPTABLE: ReadonlySet<string> = new Set([
  'INVALID_TIMESTAMP',
  'INVALID_RECORD',
  'INVALID_REQUIRED_ACKS',
]);
const SETTINGS: ReadonlySet<string> = new Set([
  ...[
    'INVALID_CONFIG',
    'INVALID_PARTITIONS',
    'POLICY_VIOLATION',
    'INVALID_TOPIC_EXCEPTION',
    'INVALID_GROUP_ID',
  ],
  'INVALID_TRANSACTION_TIMEOUT',
]);
const LOGIN = /^(SASL_AUTHENTICATION_FAILED|UNSUPPORTED_SASL_MECHANISM|ILLEGAL_SASL_STATE|AUTHENTICATION)$/;

/** Turns an error of kafkajs or of a broker into a `HeadwaterError`. The one place that maps Kafka's errors to codes. */
export function kafkaError(error: unknown, doing: string, about: KafkaResources = {}): HeadwaterError {
  if (error instanceof HeadwaterError) return error;
  const resources = { ...protocolError(error)?.resources, ...about };
  const names = errorTypes(error);
  const code = codeOf(names);
  const options = { cause: error, ...(resources.topic !== undefined && { subject: resources.topic }) };
  if (code === 'fenced')
    return new HeadwaterError(code, `Kafka, ${doing}: another process has taken over`, options);
  const detail = detailOf(error);
  const advice = code === 'refused' ? remedyOfRefusal(names, resources) : '';
  const more = UNTRUSTED.test(detail) ? NAME_AUTHORITY : advice;
  return new HeadwaterError(code, `Kafka, ${doing}: ${detail}${more === '' ? '' : `; ${more}`}`, options);
}

/** OpenSSL's words, as Node reports them. */
const UNTRUSTED =
  /self[- ]signed certificate|unable to verify the first certificate|unable to get (local )?issuer certificate/;
const NAME_AUTHORITY = 'let NODE_EXTRA_CA_CERTS name the file with the certificate of its authority';

function codeOf(names: readonly string[]): ErrorCode {
  const has = (set: ReadonlySet<string>): boolean => names.some((name) => set.has(name));
  if (has(OUTDATED)) return 'fenced';
  if (has(TOO_LARGE)) return 'limit';
  if (has(UNACCEPTABLE)) return 'unsupported';
  if (names.some((name) => LOGIN.test(name) || name.endsWith('AUTHORIZATION_FAILED'))) return 'refused';
  return has(SETTINGS) ? 'bad-config' : 'unavailable';
}

/** Returns the advice to an operator after a refused login or call. */
function remedyOfRefusal(
  names: readonly string[],
  { topic, group, transactionalId }: KafkaResources,
): string {
  const right = (rights: string, kind: string, name: string | undefined): string =>
    `grant this user ${rights} on ${kind}${name === undefined ? '' : ` "${name}"`}`;
  if (names.includes('TOPIC_AUTHORIZATION_FAILED'))
    return right(
      'Describe, Read and Write (to make it: Create, DescribeConfigs and AlterConfigs; to empty it: Delete)',
      'topic',
      topic,
    );
  if (names.includes('GROUP_AUTHORIZATION_FAILED')) return right('Read', 'group', group);
  if (names.includes('TRANSACTIONAL_ID_AUTHORIZATION_FAILED'))
    return right('Describe and Write', 'transactional id', transactionalId);
  if (names.includes('CLUSTER_AUTHORIZATION_FAILED'))
    return 'grant this user Create and IdempotentWrite on the cluster';
  if (names.includes('UNSUPPORTED_SASL_MECHANISM')) return 'correct HEADWATER_KAFKA_SASL_MECHANISM';
  return 'correct HEADWATER_KAFKA_SASL_USERNAME and HEADWATER_KAFKA_SASL_PASSWORD';
}

/** kafkajs keeps the parts of a call over several topics apart, and says nothing of them in its own message. */
function detailOf(error: unknown): string {
  const { errors, topic, cause } = error as { errors?: unknown; topic?: unknown; cause?: unknown };
  if (Array.isArray(errors) && errors.length > 0) return errors.map(detailOf).join('; ');
  const [name] = errorTypes(error);
  const words = [
    typeof topic === 'string' ? `topic ${topic}: ` : '',
    messageOf(error),
    name === undefined || messageOf(error).includes(name) ? '' : ` (${name})`,
  ].join('');
  return cause instanceof Error && !words.includes(messageOf(cause)) ? `${words}: ${detailOf(cause)}` : words;
}

/** Kafka's names of what went wrong, from the outermost error to its first cause. */
export function errorTypes(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  const { type, originalError, errors } = error as {
    type?: unknown;
    originalError?: unknown;
    errors?: unknown;
  };
  const { partitions } = error as { partitions?: unknown }; // of a failed DeleteRecords
  const unknownCode = /^Unknown error code (\d+)/.exec(error.message)?.[1]; // of Kafka versions newer than kafkajs
  return [
    error.name === 'KafkaJSSASLAuthenticationError' ? 'AUTHENTICATION' : '',
    typeof type === 'string' ? type : '',
    error instanceof ProtocolError ? errorName(error.code) : '',
    unknownCode === undefined ? '' : errorName(Number(unknownCode)),
    ...(Array.isArray(errors) ? errors.flatMap(errorTypes) : []),
    ...(Array.isArray(partitions)
      ? partitions.flatMap((one: { error?: unknown }) => errorTypes(one.error))
      : []),
    ...errorTypes(error.cause ?? originalError),
  ].filter((name) => name !== '');
}
