import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { createRequire } from 'node:module';
import kafkajs from 'kafkajs';
import type { Kafka, KafkaConfig, RetryOptions, SASLOptions } from 'kafkajs';
import { HeadwaterError, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/service.ts';

const zstdCompress = promisify(zlib.zstdCompress);
const zstdDecompress = promisify(zlib.zstdDecompress);

export interface KafkaSettings {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly ssl?: NonNullable<KafkaConfig['ssl']>;
  readonly sasl?: SASLOptions;
}

/**
 * kafkajs waits a retry time also where Kafka only asks to come again at once (CONCURRENT_TRANSACTIONS, a rebalance under
 * way), so it starts small. About four seconds in all; who needs more patience starts over with a backoff of its own.
 */
export const RETRY: RetryOptions = {
  initialRetryTime: 20,
  multiplier: 2,
  factor: 0.2,
  maxRetryTime: 1_000,
  retries: 8,
};

/** kafkajs knows the codec by number only; capture compresses with it, commands too. */
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.ZSTD] = () => ({
  compress: (encoder: { buffer: Buffer }) => zstdCompress(encoder.buffer),
  decompress: (buffer: Buffer) => zstdDecompress(buffer),
});

export function createKafka({ brokers, clientId, ssl, sasl }: KafkaSettings, logger: Logger): Kafka {
  stopIdleTimers();
  return new kafkajs.Kafka({
    brokers: [...brokers],
    clientId,
    ...(ssl !== undefined && { ssl }),
    ...(sasl !== undefined && { sasl }),
    connectionTimeout: 5_000,
    requestTimeout: 30_000,
    retry: RETRY,
    logLevel: kafkajs.logLevel.WARN,
    // It calls an error what it then retries. What matters comes as an exception as well.
    logCreator:
      () =>
      ({ namespace, log }) => {
        const fields = {
          kafka: namespace,
          broker: log['broker'] as unknown,
          groupId: log['groupId'] as unknown,
        };
        logger.debug(fields, `kafka: ${log.message}`);
      },
  });
}

/** What kafkajs threw, as the one error of this project. */
export function kafkaError(error: unknown, doing: string): HeadwaterError {
  if (error instanceof HeadwaterError) return error;
  const types = errorTypes(error);
  const message = `Kafka, ${doing}: ${messageOf(error)}`;
  if (types.some((type) => FENCED.has(type))) {
    return new HeadwaterError('fenced', `Kafka, ${doing}: another process has taken over`, { cause: error });
  }
  if (types.some((type) => TOO_LARGE.has(type)))
    return new HeadwaterError('limit', message, { cause: error });
  if (types.some((type) => REFUSED.test(type))) {
    return new HeadwaterError('bad-config', `${message}; correct the Kafka credentials or rights`, {
      cause: error,
    });
  }
  return new HeadwaterError('unavailable', message, { cause: error });
}

const FENCED: ReadonlySet<string> = new Set(['PRODUCER_FENCED', 'INVALID_PRODUCER_EPOCH', 'UNKNOWN_CODE_90']);
const TOO_LARGE: ReadonlySet<string> = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']);
const REFUSED = /AUTHORIZATION_FAILED$|AUTHENTICATION/i;

/** Kafka's names of what went wrong, from the outermost error to its first cause. */
export function errorTypes(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  const { type, originalError, errors } = error as {
    type?: unknown;
    originalError?: unknown;
    errors?: unknown;
  };
  const unknownCode = /^Unknown error code (\d+)/.exec(error.message)?.[1]; // of Kafka versions newer than kafkajs
  return [
    error.name === 'KafkaJSSASLAuthenticationError' ? 'AUTHENTICATION' : '',
    typeof type === 'string' ? type : '',
    unknownCode === undefined ? '' : `UNKNOWN_CODE_${unknownCode}`,
    ...(Array.isArray(errors) ? errors.flatMap(errorTypes) : []),
    ...errorTypes(error.cause ?? originalError),
  ].filter((name) => name !== '');
}

interface RequestQueue {
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
  scheduleCheckPendingRequests(): void;
}

let patched = false;

/**
 * kafkajs 2.2.4 sets a timer on every connection that sets itself again each millisecond for ever, with a negative delay of
 * which Node 24 warns (tulios/kafkajs issues 1704 and 1751, unreleased fixes). It is only needed while requests are held back.
 */
function stopIdleTimers(): void {
  if (patched) return;
  patched = true;
  const queue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as {
    prototype: RequestQueue;
  };
  const schedule = queue.prototype.scheduleCheckPendingRequests; // eslint-disable-line @typescript-eslint/unbound-method
  queue.prototype.scheduleCheckPendingRequests = function () {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this);
  };
}
