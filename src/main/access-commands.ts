import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { readAccessFile } from '../access/access-file.ts';
import { makeKeyPair, tokenSource } from '../access/issuer/backend-client.ts';
import type { PrivateKey } from '../access/issuer/backend-client.ts';
import type { AssertionAlgorithm } from '../access/policy.ts';
import { systemClock } from '../base/clock.ts';
import { importFireArrow } from '../access/import/fire-arrow.ts';
import { accessFileOf } from '../access/import/imported.ts';
import { importMedplum } from '../access/import/medplum.ts';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import { readSettings } from '../config/settings.ts';
import { explain } from './access-explain.ts';
import type { ExplainOptions } from './access-explain.ts';
import type { Explained } from './access-judgement.ts';
import { testAccess } from './access-test.ts';
import { localServer, localSettings } from './local.ts';
import { LogAccess } from './log-access.ts';
import { stopSignal } from './stop-signal.ts';

interface Json {
  readonly json?: boolean;
}

/** `headwater access check FILE`: the checks of a start. */
export async function accessCheck(file: string, options: Json): Promise<number> {
  const { hash, clients, external, roles } = await readAccessFile(
    file,
    readSettings([], await localSettings()).keysFolder,
  );
  const found = {
    sha256: hash,
    clients: [...clients.keys()],
    externalIssuers: external.map(({ name }) => name),
    roles: Object.fromEntries([...roles].map(([name, { rules }]) => [name, rules.map(({ id }) => id)])),
  };
  if (options.json) print(JSON.stringify(found));
  else
    print(
      `${file} is good: ${String(roles.size)} roles, ${String(clients.size)} clients, ${String(external.length)} external issuers.`,
    );
  return 0;
}

/** `headwater access key --out DIR`: a key pair for a client. */
export async function accessKey(options: {
  readonly out: string;
  readonly name: string;
  readonly algorithm: AssertionAlgorithm;
}): Promise<number> {
  const { privateKey, publicSet } = await makeKeyPair(options.algorithm);
  const [secret, open] = [`${options.name}.key.json`, `${options.name}.jwks.json`];
  await writeNew(join(options.out, secret), privateKey, 0o600);
  await writeNew(join(options.out, open), publicSet, 0o644);
  print(`${secret} is the client's secret; ${open} is for jwksFile in the access file.`);
  return 0;
}

/** The client that asks, as options of the command line name it. */
export interface ClientOptions {
  readonly client?: string;
  readonly key?: string;
  readonly scope?: string;
}

/** `headwater access token`: gets an access token and prints it alone, for scripts. */
export async function accessToken(options: ClientOptions & { readonly server?: string }): Promise<number> {
  const token = await tokensOf(options.server ?? localServer(), options);
  print((await token?.()) ?? '');
  return 0;
}

/** Returns a source of tokens if the options name a client. */
export async function tokensOf(
  server: string,
  { client: clientId, key: file, scope = 'system/*.rs' }: ClientOptions,
): Promise<(() => Promise<string>) | undefined> {
  if (clientId === undefined && file === undefined) return undefined;
  if (clientId === undefined || file === undefined)
    throw new HeadwaterError('bad-request', '--client and --key belong together');
  const key = JSON.parse(await readFile(file, 'utf8').catch(unreadable)) as PrivateKey;
  const tokenUrl = `${server.replace(/\/+$/, '')}/auth/token`;
  return tokenSource({ tokenUrl, clientId, key, scope }, systemClock);
}

/** `headwater access explain FILE`: what the rules say of a resource as the log has it now. */
export async function accessExplain(file: string, options: Json & ExplainOptions): Promise<number> {
  const settings = readSettings([], await localSettings());
  const log = new LogAccess(settings, pino({ level: 'warn' }, process.stderr));
  try {
    const found = await explain(
      { file, keysFolder: settings.keysFolder },
      options,
      await log.resources(),
      stopSignal(),
    );
    if (options.json) print(JSON.stringify(found));
    else printExplained(options.resource, found);
    return found.by === undefined ? 1 : 0;
  } finally {
    await log.close();
  }
}

const IMPORTERS = { 'fire-arrow': importFireArrow, medplum: importMedplum } as const;

/** `headwater access import FILE`: prints an access file with the rules of another server; 2 if some cannot be carried over. */
export async function accessImport(
  file: string,
  { from }: { readonly from: keyof typeof IMPORTERS },
): Promise<number> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new HeadwaterError('bad-request', `cannot read ${file}: ${messageOf(error)}`);
  });
  const imported = IMPORTERS[from](text, file);
  process.stdout.write(accessFileOf(imported));
  for (const note of imported.notes) process.stderr.write(`${note}\n`);
  return 0;
}

/** `headwater access test FILE CASES`: 0 if every case holds. */
export async function accessTest(file: string, cases: string, options: Json): Promise<number> {
  const { keysFolder } = readSettings([], await localSettings());
  const results = await testAccess({ file, keysFolder }, cases);
  const failed = results.filter(({ problems }) => problems.length > 0);
  if (options.json) print(JSON.stringify(results));
  else {
    for (const { name, problems } of results)
      print(problems.length === 0 ? `holds  ${name}` : `FAILS  ${name}: ${problems.join('; ')}`);
    print(`${String(results.length - failed.length)} cases hold, ${String(failed.length)} fail.`);
  }
  return failed.length === 0 ? 0 : 1;
}

function printExplained(resource: string, { patients, rules, by, line }: Explained): void {
  print(
    `${resource}: ${patients.length === 0 ? 'of no patient' : `of ${patients.map((id) => `Patient/${id}`).join(', ')}`}`,
  );
  for (const { id, says } of rules) print(`  ${id} ${says}`);
  print(by === undefined ? 'It is not exported.' : `It is exported by ${by}:`);
  if (line !== undefined) print(line);
}

function unreadable(error: unknown): never {
  throw new HeadwaterError('bad-request', `the key cannot be read: ${(error as Error).message}`);
}

async function writeNew(path: string, content: object, mode: number): Promise<void> {
  try {
    await writeFile(path, `${JSON.stringify(content, null, 2)}\n`, { flag: 'wx', mode });
  } catch (error) {
    throw new HeadwaterError('bad-request', `${path} cannot be written: ${(error as Error).message}`);
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
