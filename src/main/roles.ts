import { randomUUID } from 'node:crypto';
import { systemClock } from '../base/clock.ts';
import { Supervisor } from '../base/service.ts';
import type { HealthReporter, Logger, Service, ServiceHealth } from '../base/service.ts';
import { Capture } from '../capture/capture.ts';
import type { Source } from '../capture/source.ts';
import { ProblemLog } from '../capture/problem-log.ts';
import type { Role } from '../config/roles.ts';
import type { Settings } from '../config/settings.ts';
import { RequestSeal } from '../events/request-seal.ts';
import { References } from '../fhir/reference.ts';
import { Announcer } from '../jobs/announcer.ts';
import { requireVersions, RunningReload } from '../jobs/compaction-lag.ts';
import { Janitor } from '../jobs/janitor.ts';
import { Outage } from '../jobs/outage.ts';
import { Projector } from '../jobs/projector.ts';
import { schemaOf } from '../jobs/schema.ts';
import { transactionalAppenders } from '../log/kafka/append/transactional-appender.ts';
import { wholeManifestOf } from '../manifest/manifest.ts';
import { Planner } from '../plan/planner.ts';
import { resourceLog } from './capture-log.ts';
import { deferred } from './deferred.ts';
import type { Start } from './deferred.ts';
import { gateway } from './gateway-role.ts';
import { untilEnded } from './ending.ts';
import { jobTablesService } from './job-tables.ts';
import { processMetrics } from './process-metrics.ts';
import { Shared } from './shared.ts';
import { sourceOf } from './source-of.ts';
import { watchEventLoop } from './watchdog.ts';
import { worker } from './worker-role.ts';

/** Runs the roles until the signal fires. Throws if one of them ends with an error that a new start cannot mend. */
export async function runRoles(
  settings: Settings,
  options: { readonly logger: Logger; readonly signal: AbortSignal; readonly onReady?: () => void },
): Promise<void> {
  const { logger, signal, onReady } = options;
  const supervisors: Supervisor[] = [];
  const health = (): readonly ServiceHealth[] => supervisors.map((supervisor) => supervisor.health);
  const metrics = processMetrics(health, systemClock);
  const shared = new Shared({ settings, metrics, logger, health });
  for (const [name, start] of services(shared)) supervisors.push(new Supervisor(name, logger, start));
  const stop = new AbortController();
  const all = AbortSignal.any([signal, stop.signal]);
  const endWatch = watchEventLoop(settings.watchdogSeconds * 1_000);
  const watch = setInterval(() => {
    if (!supervisors.every(({ health: { state } }) => state === 'running')) return;
    clearInterval(watch);
    onReady?.();
  }, 20);
  const running = new Set<string>();
  let failure: { readonly error: unknown } | undefined;
  const ended = supervisors.map(async (supervisor) => {
    running.add(supervisor.name);
    try {
      await supervisor.run(all);
    } catch (error) {
      failure ??= { error };
    } finally {
      running.delete(supervisor.name);
      stop.abort(); // one service that ends for good ends the process
    }
  });
  const ending = Promise.all(ended).then(async () => {
    running.add('connections');
    await shared.close();
  });
  try {
    await untilEnded(ending, { signal: all, logger, unended: () => [...running] });
  } finally {
    clearInterval(watch);
    endWatch();
  }
  if (failure) throw failure.error;
}

function services(shared: Shared): [name: string, start: Start][] {
  const { roles } = shared.settings;
  const byRole: Record<Role, () => [string, Start][]> = {
    gateway: () => gateway(shared),
    capture: () => {
      const problems = new ProblemLog(shared.logger, systemClock);
      const source = sourceOf(shared.settings); // wrong settings end the process before anything is started
      const make = (_: Shared, health: HealthReporter): Promise<Service> =>
        capture(shared, { source, problems }, health);
      return [['capture', deferred('capture', shared, make)]];
    },
    planner: () => [['planner', deferred('planner', shared, planner)]],
    worker: () => worker(shared),
    projector: () => [['projector', deferred('projector', shared, projector)]],
    janitor: () => {
      const outage = new Outage();
      return [['janitor', deferred('janitor', shared, (_, health) => janitor(shared, health, outage))]];
    },
  };
  const needsTables = roles.some(
    (role) => role === 'gateway' || role === 'projector' || role === 'janitor' || role === 'capture',
  );
  return [
    ...(roles.includes('gateway') ? [] : probes(shared)),
    ...(needsTables ? [['job-tables', jobTablesService(shared)] as [string, Start]] : []),
    ...roles.flatMap((role) => byRole[role]()),
  ];
}

/** Serves probes on a separate port, for a process without the gateway. None if no port is set. */
function probes(shared: Shared): [string, Start][] {
  const { settings, metrics, logger, health } = shared;
  const { httpHost, probePort: httpPort } = settings;
  if (httpPort === undefined) return [];
  const portSetting = 'HEADWATER_PROBE_PORT';
  const make = async (_: Shared, reporter: HealthReporter): Promise<Service> => {
    const [{ createProbes }, { gatewayService }] = await Promise.all([
      import('../http/probe-app.ts'),
      import('../http/gateway-service.ts'),
    ]);
    const app = createProbes({ health, metrics: metrics.registry });
    return gatewayService({ app, settings: { httpHost, httpPort }, portSetting, health: reporter, logger });
  };
  return [['probes', deferred('probes', shared, make)]];
}

async function capture(
  { settings, log, metrics, logger, audit, pool, tables }: Shared,
  { source, problems }: { readonly source: Source; readonly problems: ProblemLog },
  health: HealthReporter,
): Promise<Service> {
  const codecs = await log.codecs();
  return new Capture({
    prefix: settings.topicPrefix,
    source,
    resources: resourceLog(log, codecs, settings.topicPrefix),
    requests: {
      schema: schemaOf(settings.topicPrefix),
      messagePrefix: settings.topicPrefix,
      seal: new RequestSeal(settings.urlSecret),
      audit,
      reloads: new RunningReload({ pool, tables, lags: log.admin, lagMs: settings.compactionLagMs }),
      topic: log.names.commands,
      encode: (command) => codecs.control.command.encode(command),
      maxExportMs: settings.maxExportMs,
    },
    rows: {
      maxBytes: settings.maxResourceBytes,
      references: new References(settings.sourceBaseUrls),
      rendering: source.preset.rendering,
    },
    loadConnections: settings.loadConnections,
    problems,
    metrics: metrics.capture,
    clock: systemClock,
    newId: randomUUID,
    logger,
    health,
    onLoad: ({ resources }) => metrics.capture.loaded(resources),
  });
}

async function planner({ settings, log, logger }: Shared, health: HealthReporter): Promise<Service> {
  const { control, change } = await log.codecs();
  return new Planner({
    queue: log.queue,
    reader: log.reader,
    codecs: {
      ...control,
      change,
      command: { decode: (bytes) => log.decode((codecs) => codecs.control.command, bytes) },
    },
    topics: log.names,
    group: `${settings.topicPrefix}.planner`,
    settings: {
      taskBytes: settings.taskBytes,
      quickBytes: settings.quickBytes,
      parallelism: 2 * settings.replayThreads,
      layout: settings.fileLayout,
    },
    requireVersions: (since) =>
      requireVersions(log.admin, settings.compactionLagMs, { since, now: systemClock() }),
    references: new References(settings.sourceBaseUrls),
    clock: systemClock,
    logger,
    health,
  });
}

async function projector(
  { settings, log, tables, metrics, logger }: Shared,
  health: HealthReporter,
): Promise<Service> {
  const { control } = await log.codecs();
  const { names, reader, cluster } = log;
  const announcer = new Announcer({
    tables,
    reader,
    openAppender: transactionalAppenders(cluster),
    transactionalId: `${settings.topicPrefix}.announcer`,
    topics: names,
    codecs: control,
    source: `${settings.publicUrl}/fhir`,
  });
  return new Projector({
    tables,
    ...log.statusReading,
    manifest: (job) => JSON.stringify(wholeManifestOf(job, (key) => key)),
    databaseUrl: settings.sourceUrl,
    historyMs: settings.jobHistoryMs,
    clock: systemClock,
    reader,
    statusTopic: names.status,
    progressTopic: names.progress,
    announcer,
    logger,
    health,
    onApplied: ({ partition, next }) => metrics.projected(partition, next),
  });
}

async function janitor(shared: Shared, health: HealthReporter, outage: Outage): Promise<Service> {
  const { settings, log, pool, tables, logger, audit } = shared;
  const { control } = await log.codecs();
  return new Janitor({
    outage,
    audit,
    lags: log.admin,
    pool,
    tables,
    store: await shared.store(),
    manifest: (job, folder) => JSON.stringify(wholeManifestOf(job, (key) => key.slice(folder.length + 1))),
    containers: settings.containers,
    reader: log.reader,
    publisher: log.publisher,
    topics: log.names,
    codec: control.status,
    times: {
      deadlineMs: settings.jobDeadlineMs,
      compactionLagMs: settings.compactionLagMs,
      maxExportMs: settings.maxExportMs,
      retentionMs: settings.retentionMs,
    },
    logger,
    health,
  });
}
