import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { systemClock } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import { runExport } from '../client/export-client.ts';
import { loadDirectory } from '../client/load.ts';
import { readSettings } from '../config/settings.ts';
import type { Settings } from '../config/settings.ts';
import { openSession } from '../database/session.ts';
import { stackStatus } from '../stack/commands.ts';
import { headwaterDirectory } from '../stack/contract.ts';
import type { Stack } from '../stack/contract.ts';
import { startStack } from '../stack/stack.ts';
import { announceService, localFiles, localSettings } from './local.ts';
import { exportProgress, loadProgress, printExport, printLoad } from './output.ts';
import { runRoles } from './roles.ts';
import { stopSignal } from './stop-signal.ts';

const SAMPLE = join(import.meta.dirname, '..', '..', 'data', 'synthea-10');

/** Runs the whole system on this machine: the stack, ten synthetic patients, every role and one export. Then it keeps serving. */
export async function start(): Promise<number> {
  const signal = stopSignal();
  const given = readSettings(undefined, await localSettings());
  if (given.accessFile !== undefined)
    await (await import('../access/access-file.ts')).readAccessFile(given.accessFile, given.keysFolder);
  await requireFreePort(given);
  signal.addEventListener('abort', () => say('Stopping …'), { once: true });
  const stack = await stackUntil(signal);
  if (!stack) return 0;
  try {
    await mkdir(localFiles, { recursive: true });
    const settings = readSettings(undefined, await localSettings(stack.addresses));
    await loadSample(settings, signal);
    await serveAndExport(settings, signal);
    return 0;
  } catch (error) {
    if (signal.aborted) return 0;
    throw error;
  } finally {
    await stack.stop();
    await tellWhatRunsOn();
  }
}

/** undefined if it was stopped before it was ready. */
async function stackUntil(signal: AbortSignal): Promise<Stack | undefined> {
  try {
    return await startStack({ directory: headwaterDirectory, purpose: 'people', signal, report: say });
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

/** Servers that ran before, or that `stack up` keeps running. */
async function tellWhatRunsOn(): Promise<void> {
  const { kind, until } = (await stackStatus()).data;
  if (kind !== undefined && until !== undefined) say(`The servers run on until ${until}.`);
}

/** Runs before anything is changed. */
async function requireFreePort({ httpHost, httpPort }: Settings): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', () =>
      reject(
        new HeadwaterError(
          'bad-config',
          `port ${httpPort} is in use: end what uses it, or set HEADWATER_HTTP_PORT`,
        ),
      ),
    );
    server.listen(httpPort, httpHost, () => server.close(() => resolve()));
  });
}

async function loadSample(settings: Settings, signal: AbortSignal): Promise<void> {
  if (settings.sourcePreset !== 'headwater' || (await hasResources(settings))) return;
  say('The source database is empty: loading ten patients …');
  const progress = loadProgress();
  const { sourceUrl, sourceTable: table } = settings;
  const result = await loadDirectory({
    directory: SAMPLE,
    sourceUrl,
    table,
    clock: systemClock,
    signal,
    onProgress: progress.update,
  });
  progress.end(result);
  printLoad(result);
}

async function hasResources({ sourceUrl, sourceTable }: Settings): Promise<boolean> {
  const client = await openSession(sourceUrl, 'catalog');
  try {
    const name = sourceTable
      .split('.')
      .map((part) => pg.escapeIdentifier(part))
      .join('.');
    const { rows } = await client.query<{ found: string | null }>('SELECT to_regclass($1)::text AS found', [
      name,
    ]);
    if (!rows[0]?.found) return false;
    return (await client.query(`SELECT 1 FROM ${name} LIMIT 1`)).rowCount === 1;
  } finally {
    await client.end();
  }
}

async function serveAndExport(settings: Settings, signal: AbortSignal): Promise<void> {
  // A person reads this terminal, so only warnings and errors are logged by default.
  const level = process.stdout.isTTY || settings.logLevel === 'info' ? 'warn' : settings.logLevel;
  const logger = pino({ level }, pino.destination(2));
  const stop = new AbortController();
  const all = AbortSignal.any([signal, stop.signal]);
  let ready: () => void = () => undefined;
  const isReady = new Promise<void>((resolve) => (ready = resolve));
  const running = runRoles(settings, { logger, signal: all, onReady: () => ready() });
  let forget = (): void => undefined;
  const shown = (async () => {
    await Promise.race([isReady, running]);
    if (settings.accessFile === undefined) await exportOnce(settings, all);
    else say('No export at the start: HEADWATER_ACCESS_FILE asks every client for a token.');
    forget = announceService(settings.publicUrl);
    say(whatToTry(settings));
  })();
  try {
    await Promise.all([running, shown]);
  } catch (error) {
    stop.abort();
    await running.catch(() => undefined);
    throw error;
  } finally {
    forget();
  }
}

async function exportOnce({ publicUrl }: Settings, signal: AbortSignal): Promise<void> {
  const progress = exportProgress();
  const result = await runExport({ server: `${publicUrl}/fhir` }, undefined, {
    signal,
    clock: systemClock,
    pollMs: 100,
    onProgress: progress.update,
  });
  progress.end();
  printExport(result, undefined);
  say(`The files lie in ${localFiles}.`);
}

/** Prints commands to try in another terminal. */
export function whatToTry({
  publicUrl,
  accessFile,
}: Pick<Settings, 'publicUrl'> & Partial<Pick<Settings, 'accessFile'>>): string {
  const base = `${publicUrl}/fhir`;
  if (accessFile !== undefined)
    return `
Serving at ${base}, by ${accessFile}; Ctrl-C ends everything. Try, in another terminal:

  npm run headwater -- export --server ${base} --client <id> --key <its .key.json> --out /tmp/export
  npm run -s headwater -- access token --server ${base} --client <id> --key <its .key.json>
  curl ${publicUrl}/readyz
`;
  return `
Serving at ${base}; Ctrl-C ends everything. Try, in another terminal:

  curl -i -H 'Prefer: respond-async' '${base}/$export?_type=Patient,Condition'
  curl -i <the Content-Location it answers>
  npm run headwater -- export --server ${base} --out /tmp/export
  curl ${publicUrl}/readyz
`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
