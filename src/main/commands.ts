import { Option } from 'commander';
import { pino } from 'pino';
import { systemClock } from '../base/clock.ts';
import { runExport } from '../client/export-client.ts';
import type { ExportRequest, RequestValue } from '../client/export-request.ts';
import { loadDirectory } from '../client/load.ts';
import { progressLine } from '../client/progress.ts';
import type { Role } from '../config/roles.ts';
import { EXPORT_PARAMETERS } from '../events/export-parameter-table.ts';
import type { ExportParameter, ParameterField } from '../events/export-parameter-table.ts';
import { printableSettings, readSettings, storageSettings } from '../config/settings.ts';
import type { Settings } from '../config/settings.ts';
import { rebuild } from '../jobs/rebuild.ts';
import { jobTables, schemaOf } from '../jobs/schema.ts';
import { wholeManifestOf } from '../manifest/manifest.ts';
import { stackDown, stackStatus, stackUp } from '../stack/commands.ts';
import { headwaterDirectory } from '../stack/contract.ts';
import { checkStore } from '../storage/storage-check.ts';
import { askForLoad } from './ask-for-load.ts';
import { LogAccess } from './log-access.ts';
import { runRoles } from './roles.ts';
import { localServer, localSettings, removeLocalFiles } from './local.ts';
import { exportProgress, loadProgress, printExport, printLoad } from './output.ts';
import { stopSignal } from './stop-signal.ts';

import type { ClientOptions } from './access-commands.ts';

export { start } from './start.ts';

interface Json {
  readonly json?: boolean;
}

export async function serve(options: { readonly roles?: readonly Role[] }): Promise<number> {
  const settings = readSettings(options.roles);
  const logger = pino({ level: settings.logLevel });
  logger.info({ settings: printableSettings(settings) }, 'headwater starts');
  await runRoles(settings, { logger, signal: stopSignal() });
  return 0;
}

export async function load(
  directory: string,
  options: Json & { readonly source?: string; readonly table?: string },
): Promise<number> {
  const settings = await clientSettings();
  const progress = loadProgress();
  const result = await loadDirectory({
    directory,
    sourceUrl: options.source ?? settings.sourceUrl,
    table: options.table ?? settings.sourceTable,
    clock: systemClock,
    signal: stopSignal(),
    onProgress: progress.update,
  });
  progress.end(result);
  if (options.json) print(JSON.stringify(result));
  else printLoad(result);
  return 0;
}

/** Options of `headwater export`: its own, and those of the parameter table under the names that commander gives them. */
type ExportOptions = Json &
  ClientOptions &
  Pick<ExportRequest, 'group' | 'allPatients' | 'lenient'> & {
    readonly server?: string;
    readonly out?: string;
  } & Readonly<Record<string, unknown>>;

export async function exportFiles(options: ExportOptions): Promise<number> {
  const progress = exportProgress();
  const { server = localServer(), group, allPatients, lenient } = options;
  const request: ExportRequest = { server, group, allPatients, lenient, ...parametersOf(options) };
  const result = await runExport(request, options.out, {
    signal: stopSignal(),
    clock: systemClock,
    onProgress: progress.update,
    token: await (await accessCommands()).tokensOf(server, options),
  });
  progress.end();
  if (options.json) print(JSON.stringify(result));
  else printExport(result, options.out);
  return result.manifest.error.length > 0 ? 1 : 0;
}

/** Returns the values of the options that are parameters of the request, by their fields. */
function parametersOf(
  options: Readonly<Record<string, unknown>>,
): Partial<Record<ParameterField, RequestValue>> {
  const fields = (EXPORT_PARAMETERS as readonly ExportParameter[]).flatMap(({ option, field, max }) => {
    const value = option && options[new Option(option.flags).attributeName()];
    if (value === undefined) return [];
    const isList = max === '*' && typeof value === 'string';
    return [[field, isList ? value.split(',').map((item) => item.trim()) : value]];
  });
  return Object.fromEntries(fields) as Partial<Record<ParameterField, RequestValue>>;
}

export async function rebuildTables(options: Json): Promise<number> {
  const settings = readSettings(['projector'], await localSettings());
  await withLog(settings, async (log) => {
    const { control } = await log.codecs();
    const progress = progressLine('rebuild');
    const result = await rebuild(
      {
        tables: jobTables(schemaOf(settings.topicPrefix)),
        ...log.statusReading,
        manifest: (job) => JSON.stringify(wholeManifestOf(job, (key) => key)),
        databaseUrl: settings.sourceUrl,
        reader: log.reader,
        statusTopic: log.names.status,
        announced: { topic: log.names.announced, codec: control.announced },
        onProgress: (done, total) => progress.update(total === 0 ? 1 : done / total, `${done} of ${total}`),
      },
      stopSignal(),
    );
    progress.end(`${result.events} events`);
    if (options.json) print(JSON.stringify(result));
  });
  return 0;
}

export function reset(): Promise<number> {
  return askCapture('first-load', 'deletes its resource topics and loads everything again');
}

export function reload(): Promise<number> {
  return askCapture('reload', 'loads everything again');
}

async function askCapture(pending: 'first-load' | 'reload', what: string): Promise<number> {
  const settings = readSettings(['capture'], await localSettings());
  await withLog(settings, (log) => askForLoad(log, settings.topicPrefix, pending));
  print(
    `The next start of capture with HEADWATER_TOPIC_PREFIX=${settings.topicPrefix} ${what}. One that runs starts again by itself.`,
  );
  return 0;
}

export async function topics(options: Json & { readonly check?: boolean }): Promise<number> {
  const settings = readSettings(['capture'], await localSettings());
  return withLog(settings, async ({ admin }) => {
    const found = options.check ? await admin.check() : await admin.apply();
    if (options.json) print(JSON.stringify(found));
    else if (found.length === 0) print('Topics and schemas are as declared.');
    else for (const { text } of found) print(options.check ? text : `changed: ${text}`);
    return options.check && found.length > 0 ? 1 : 0;
  });
}

export async function storageCheck(options: Json): Promise<number> {
  const settings = readSettings([], await localSettings());
  const report = await checkStore(storageSettings(settings));
  const { status, type, bucket, account, identity, step, reason } = report;
  const place = `${type} ${account === undefined ? '' : `${account}/`}${bucket}, identity: ${identity}`;
  if (options.json) print(JSON.stringify(report));
  else if (status === 'ok') print(`The store works: ${place}.`);
  else process.stderr.write(`The store does not work (${place}). Step ${step ?? ''}: ${reason ?? ''}\n`);
  return status === 'ok' ? 0 : 1;
}

export async function stackUpCommand(options: Json): Promise<number> {
  const { data, text } = await stackUp({ report: (line) => process.stderr.write(`${line}\n`) });
  print(options.json ? JSON.stringify(data) : text);
  return 0;
}

/** @param options.directory used instead of the `.headwater` of the project */
export async function stackDownCommand(
  options: Json & { readonly deleteData?: boolean; readonly directory?: string },
): Promise<number> {
  const { directory = headwaterDirectory, deleteData = false } = options;
  const report = (line: string): void => void process.stderr.write(`${line}\n`);
  const { data, text } = await stackDown({ report, directory, deleteData });
  if (deleteData) await removeLocalFiles(directory);
  print(options.json ? JSON.stringify(data) : text);
  return 0;
}

export async function stackStatusCommand(options: Json): Promise<number> {
  const { data, text } = await stackStatus();
  print(options.json ? JSON.stringify(data) : text);
  return data.ready ? 0 : 1;
}

/** Loaded when one is used, so that services save the memory of their libraries. */
function accessCommands(): Promise<typeof import('./access-commands.ts')> {
  return import('./access-commands.ts');
}

type AccessCommands = Awaited<ReturnType<typeof accessCommands>>;

export const accessCheck: AccessCommands['accessCheck'] = async (...given) =>
  (await accessCommands()).accessCheck(...given);
export const accessImport: AccessCommands['accessImport'] = async (...given) =>
  (await accessCommands()).accessImport(...given);
export const accessTest: AccessCommands['accessTest'] = async (...given) =>
  (await accessCommands()).accessTest(...given);
export const accessExplain: AccessCommands['accessExplain'] = async (...given) =>
  (await accessCommands()).accessExplain(...given);
export const accessKey: AccessCommands['accessKey'] = async (...given) =>
  (await accessCommands()).accessKey(...given);
export const accessToken: AccessCommands['accessToken'] = async (...given) =>
  (await accessCommands()).accessToken(...given);

/** Loaded when one is used. */
function sourceCommands(): Promise<typeof import('./source-commands.ts')> {
  return import('./source-commands.ts');
}

type SourceCommands = Awaited<ReturnType<typeof sourceCommands>>;

export const sourceCheck: SourceCommands['sourceCheck'] = async (...given) =>
  (await sourceCommands()).sourceCheck(...given);
export const sourceSql: SourceCommands['sourceSql'] = async (...given) =>
  (await sourceCommands()).sourceSql(...given);
export const sourceVerify: SourceCommands['sourceVerify'] = async (...given) =>
  (await sourceCommands()).sourceVerify(...given);

async function clientSettings(): Promise<Settings> {
  return readSettings([], await localSettings());
}

async function withLog<T>(settings: Settings, work: (log: LogAccess) => Promise<T>): Promise<T> {
  const log = new LogAccess(settings, pino({ level: 'warn' }, process.stderr));
  try {
    return await work(log);
  } finally {
    await log.close();
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Loaded when one is used. */
function auditCommands(): Promise<typeof import('./audit-commands.ts')> {
  return import('./audit-commands.ts');
}

type AuditCommands = Awaited<ReturnType<typeof auditCommands>>;

export const auditVerify: AuditCommands['auditVerify'] = async (...given) =>
  (await auditCommands()).auditVerify(...given);
export const auditList: AuditCommands['auditList'] = async (...given) =>
  (await auditCommands()).auditList(...given);
export const auditDisclosures: AuditCommands['auditDisclosures'] = async (...given) =>
  (await auditCommands()).auditDisclosures(...given);
