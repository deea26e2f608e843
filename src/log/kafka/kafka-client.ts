import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { createRequire } from 'node:module';
import kafkajs from 'kafkajs';
import type { Kafka, KafkaConfig, RetryOptions, SASLOptions } from 'kafkajs';
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
  mend();
  return new kafkajs.Kafka({
    brokers: [...brokers],
    clientId,
    ...(ssl !== undefined && { ssl }),
    ...(sasl !== undefined && { sasl }),
    connectionTimeout: 5_000,
    requestTimeout: 15_000,
    // A login is renewed this long before its life ends; Kafka takes no second one within a second.
    reauthenticationThreshold: 3_000,
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

interface RequestQueue {
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
  scheduleCheckPendingRequests(): void;
}

interface Runner {
  readonly running: boolean;
  fetch(nodeId: number): Promise<unknown>;
}

let mended = false;

/** kafkajs 2.2.4 as it should be; it has no later release. */
function mend(): void {
  if (mended) return;
  mended = true;
  const require = createRequire(import.meta.url);
  stopIdleTimers(require('kafkajs/src/network/requestQueue') as { prototype: RequestQueue });
  endFetchers(require('kafkajs/src/consumer/runner') as { prototype: Runner });
}

/**
 * kafkajs sets a timer on every connection that sets itself again each millisecond forever, with a negative delay of
 * which Node 24 warns (tulios/kafkajs issues 1704 and 1751, unreleased fixes). It is only needed while requests are held back.
 */
function stopIdleTimers({ prototype }: { prototype: RequestQueue }): void {
  const schedule = prototype.scheduleCheckPendingRequests; // eslint-disable-line @typescript-eslint/unbound-method
  prototype.scheduleCheckPendingRequests = function () {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this);
  };
}

/**
 * A consumer that is stopped while its fetchers are rebuilt, as when a broker has left, leaves fetchers running. Each
 * asks its stopped runner again and again without a pause, so that no other work of the process gets a turn. An error ends them.
 */
function endFetchers({ prototype }: { prototype: Runner }): void {
  const fetch = prototype.fetch; // eslint-disable-line @typescript-eslint/unbound-method
  prototype.fetch = async function (nodeId) {
    if (!this.running) throw new Error('the consumer is stopped');
    return fetch.call(this, nodeId);
  };
}
