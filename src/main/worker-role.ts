import { requireVersions } from '../jobs/compaction-lag.ts';
import { parseFolder } from '../jobs/due.ts';
import { hostname } from 'node:os';
import { systemClock } from '../base/clock.ts';
import type { HealthReporter, Service } from '../base/service.ts';
import type { DeidentifierSource } from '../deidentify/source.ts';
import type { Lane } from '../events/tasks.ts';
import { EndedJobs } from '../jobs/ended-jobs.ts';
import { ReplayPool } from '../replay/replay-pool.ts';
import { LocalRunner } from '../replay/task-runner.ts';
import { storageSettings } from '../config/settings.ts';
import { checkStorage } from '../storage/owner.ts';
import { Worker } from '../replay/worker.ts';
import { orAborted } from './ending.ts';
import type { Shared } from './shared.ts';

type Start = (health: HealthReporter) => Service;

/**
 * Large tasks run in threads. Small tasks run in this thread, one at a time, so that they never wait behind large ones.
 */
export function worker(shared: Shared): [string, Start][] {
  const { settings, log, logger } = shared;
  const instance = `${hostname()}/${process.pid}`;
  const ended = async (): Promise<EndedJobs> => {
    await log.codecs();
    const { reader, names } = log;
    return new EndedJobs({
      reader,
      statusTopic: names.status,
      ...log.statusReading,
      clock: systemClock,
      maxExportMs: settings.maxExportMs,
    });
  };
  const lane = (name: Lane, threads: number): [string, Start] => [
    `worker-${name}`,
    (health) => ({
      name: `worker-${name}`,
      run: async (signal) => {
        const { ids, control } = await orAborted(log.codecs(), signal);
        const { fileBytes, keysFolder, topicPrefix, sourceBaseUrls: baseUrls, urlSecret: secret } = settings;
        const storage = storageSettings(settings);
        await checkStorage(await orAborted(shared.store(), signal), topicPrefix);
        const deidentification = await orAborted(deidentifications(settings), signal);
        const cluster = { kafka: log.cluster, schemaIds: ids, topicPrefix, secret, baseUrls };
        const options = { ...cluster, storage, fileBytes, keysFolder, deidentification };
        const runner = name === 'bulk' ? new ReplayPool(options, threads) : new LocalRunner(options);
        const jobs = await orAborted(ended(), signal);
        const service = new Worker({
          lane: name,
          topic: log.names.tasks[name],
          group: `${topicPrefix}.worker.${name}`,
          queue: log.queue,
          publisher: log.publisher,
          runner,
          concurrency: threads,
          ended: jobs,
          decodeTask: (value) => log.decode((codecs) => codecs.control.task, value),
          statusRecord: (event) => ({
            topic: event.kind === 'TaskProgressed' ? log.names.progress : log.names.status,
            key: event.jobId,
            value: control.status.encode(event),
          }),
          requireVersions: (task) =>
            requireVersions(log.admin, settings.compactionLagMs, {
              since: parseFolder(task.folder)?.time ?? 0,
              now: systemClock(),
            }),
          disclosedRecord: (disclosed) => ({
            topic: log.names.disclosures,
            key: disclosed.jobId,
            value: control.disclosed.encode({ ...disclosed, hashes: Buffer.from(disclosed.hashes) }),
          }),
          metrics: shared.metrics.worker,
          clock: systemClock,
          instance,
          logger,
          health,
        });
        await withCompanion(jobs, service, signal).finally(() => runner.close());
      },
    }),
  ];
  return [lane('quick', 1), lane('bulk', settings.replayThreads)];
}

/** Reads the configurations that de-identify, with their keys. The access file is loaded only here, so that a worker without one saves its libraries. */
async function deidentifications({
  accessFile,
  keysFolder,
}: Shared['settings']): Promise<DeidentifierSource[]> {
  if (accessFile === undefined) return [];
  const { readAccessFile } = await import('../access/access-file.ts');
  return [...((await readAccessFile(accessFile, keysFolder)).deidentification?.values() ?? [])];
}

/** Runs a service together with its companion. The service starts when the companion is ready. When one ends, the other ends too. */
async function withCompanion(companion: EndedJobs, service: Service, signal: AbortSignal): Promise<void> {
  const stop = new AbortController();
  const all = AbortSignal.any([signal, stop.signal]);
  const ending = <T>(work: Promise<T>): Promise<T> => work.finally(() => stop.abort());
  const known = ending(companion.run(all));
  await Promise.all([known, ending(Promise.race([companion.ready, known]).then(() => service.run(all)))]);
}
