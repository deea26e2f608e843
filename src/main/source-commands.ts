import { HeadwaterError } from '../base/errors.ts';
import { checkSource, preparationFor } from '../capture/source-report.ts';
import { isSet, readSettings } from '../config/settings.ts';
import type { Settings } from '../config/settings.ts';
import { localSettings } from './local.ts';
import { sourceOf } from './source-of.ts';
import { verify } from './source-verify.ts';
import type { Verified } from './source-verify.ts';
import { stopSignal } from './stop-signal.ts';

interface Json {
  readonly json?: boolean;
}

/** `headwater source check`: everything that a start proves. */
export async function sourceCheck(options: Json): Promise<number> {
  const report = await checkSource(sourceOf(await settingsOf()));
  const { tables, problems, mends } = report;
  if (options.json) print(JSON.stringify(report));
  else {
    for (const text of problems) process.stderr.write(`${text}\n`);
    for (const sql of mends) print(`Headwater runs at its next start: ${sql}`);
    if (problems.length === 0) print(`The source can be followed: ${tables.join(', ')}.`);
  }
  return problems.length === 0 ? 0 : 1;
}

/** `headwater source sql`: a script for a superuser. */
export async function sourceSql(options: { readonly user?: string }): Promise<number> {
  const settings = await settingsOf();
  const role = options.user ?? decodeURIComponent(new URL(settings.sourceUrl).username);
  if (role === '') throw new HeadwaterError('bad-config', 'HEADWATER_SOURCE_URL names no user; give --user');
  for (const sql of await preparationFor(sourceOf(settings), role)) print(`${sql};`);
  return 0;
}

/** `headwater source verify`: whether exports will equal the API's answers. */
export async function sourceVerify(
  options: Json & { readonly fhir: string; readonly sample: string; readonly token?: string },
): Promise<number> {
  const sample = Number(options.sample);
  if (!Number.isInteger(sample) || sample < 0)
    throw new HeadwaterError('bad-config', '--sample must be a whole number');
  const settings = await settingsOf();
  const found = await verify(
    { source: sourceOf(settings), maxBytes: settings.maxResourceBytes },
    { base: options.fhir.replace(/\/$/, ''), token: options.token, sample },
    stopSignal(),
  );
  if (options.json) print(JSON.stringify(found));
  else printVerified(found);
  return found.differences.length === 0 ? 0 : 1;
}

function printVerified({ types, compared, differences }: Verified): void {
  for (const { type, source, api } of types)
    print(`${type}: ${source} in the database, ${api ?? 'unknown'} by the API`);
  for (const { key, difference } of differences) process.stderr.write(`${key}: ${difference}\n`);
  print(`${compared} resources compared, ${differences.length} differences.`);
}

/** The source alone is asked, so nothing else has to be set. */
async function settingsOf(): Promise<Settings> {
  return readSettings([], isSet('sourceUrl') ? {} : await localSettings());
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
