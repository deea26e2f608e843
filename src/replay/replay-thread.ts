import { parentPort, workerData } from 'node:worker_threads';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import { ResourceChangeCodec } from '../events/resource-change-codec.ts';
import { RangeReader } from '../log/kafka/range-reader.ts';
import { openStore } from '../storage/open-store.ts';
import type { FromThread, ReplayThreadOptions, ToThread } from './replay-pool.ts';
import { runTask } from './run-task.ts';

/** The body of one replay thread: runs one task at a time with a reader and a store of its own. */
function serve(options: ReplayThreadOptions): void {
  const port = parentPort;
  if (!port) throw new HeadwaterError('internal', 'replay-thread.ts runs as a worker thread');
  const reader = new RangeReader(options.kafka);
  const store = openStore(options.storageUrl);
  const codec = new ResourceChangeCodec(options.schemaIds);
  const send = (message: FromThread): void => port.postMessage(message);
  let running = new AbortController();
  const run = async ({ task }: Extract<ToThread, { kind: 'run' }>): Promise<void> => {
    running = new AbortController();
    try {
      const files = await runTask(task, {
        reader,
        store,
        codec,
        topicOf: (type) => `${options.topicPrefix}.resources.${type}`,
        fileBytes: options.fileBytes,
        signal: running.signal,
        onProgress: (fraction) => send({ kind: 'progress', fraction }),
      });
      send({ kind: 'done', files });
    } catch (error) {
      const known = error instanceof HeadwaterError ? error : undefined;
      // What is not ours (the network, the disk) may pass.
      send({
        kind: 'failed',
        code: known?.code ?? 'internal',
        message: messageOf(error),
        retryable: known?.retryable ?? true,
      });
    }
  };
  port.on('message', (message: ToThread) => {
    if (message.kind === 'run') void run(message);
    else running.abort();
  });
}

serve(workerData as ReplayThreadOptions);
