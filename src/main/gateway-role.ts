import { randomUUID } from 'node:crypto';
import { systemClock } from '../base/clock.ts';
import { GroupDirectory } from '../cohort/group-directory.ts';
import { isGiven, storageSettings } from '../config/settings.ts';
import { RequestSeal } from '../events/request-seal.ts';
import { JobRequests } from '../jobs/requests.ts';
import { countUnfinished } from '../jobs/unfinished.ts';
import { checkStore } from '../storage/storage-check.ts';
import type { StorageReport } from '../storage/storage-check.ts';
import { deferred } from './deferred.ts';
import type { Start } from './deferred.ts';
import { measureAccess, measureJobs } from './process-metrics.ts';
import type { Shared } from './shared.ts';

/** The HTTP side and, with an access file, what follows that file. */
export function gateway(shared: Shared): [string, Start][] {
  const services: [string, Start][] = [['gateway', serving(shared)]];
  if (shared.settings.accessFile !== undefined) services.push(['access', accessFile(shared)]);
  return services;
}

/** Loads the HTTP code in the gateway only, so that other roles save its 15 MB. */
function serving(shared: Shared): Start {
  const { settings, pool, tables, metrics, logger, health } = shared;
  const jobs = new JobRequests({
    pool,
    tables,
    messagePrefix: settings.topicPrefix,
    limits: { perClient: settings.maxJobsPerClient, inAll: settings.maxJobs },
    newId: randomUUID,
    seal: new RequestSeal(settings.urlSecret),
  });
  measureJobs(metrics.registry, () => countUnfinished(pool, tables));
  return deferred('gateway', shared, async (_, reporter) => {
    const [{ createGateway }, { gatewayService }] = await Promise.all([
      import('../http/gateway.ts'),
      import('../http/gateway-service.ts'),
    ]);
    const store = await shared.store();
    const checkStorage = (): Promise<StorageReport> => checkStore(storageSettings(settings));
    const access = await shared.access();
    const groups = groupDirectory(shared);
    const context = {
      ...{ settings, jobs, store, access, groups, checkStorage, health, logger },
      audit: shared.audit,
      metrics: metrics.registry,
      clock: systemClock,
    };
    return gatewayService({ app: createGateway(context), settings, health: reporter, logger });
  });
}

/** Returns undefined where the process has no settings of Kafka: a gateway works without it. */
function groupDirectory(shared: Shared): GroupDirectory | undefined {
  const { settings } = shared;
  if (!isGiven(settings, 'kafkaBrokers') || !isGiven(settings, 'registryUrl')) return undefined;
  return new GroupDirectory(() => shared.log.resources());
}

/** Follows the access file. */
function accessFile(shared: Shared): Start {
  return deferred('access', shared, async (_, reporter) => {
    const access = await shared.access();
    if (access) measureAccess(shared.metrics.registry, access);
    return {
      name: 'access',
      run: async (signal) => {
        reporter.ready();
        await access?.watch(signal);
        signal.throwIfAborted();
      },
    };
  });
}
