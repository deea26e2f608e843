import { HeadwaterError, messageOf } from '../base/errors.ts';
import { accessProblems } from './access-settings.ts';
import { readAidboxNames } from './aidbox-names.ts';
import type { Environment } from './environment.ts';
import { nearest } from './nearest.ts';
import { parseStorageUrl } from './storage-url.ts';
import { TABLE } from './table.ts';
import type { Role } from './roles.ts';
import type { Setting } from './table.ts';

type Value<S> = S extends Setting<infer T> ? T : never;

/**
 * All settings, parsed. A setting that is not set and that only other roles need throws `bad-config` with its name when it is read, so
 * that an empty key or address is never used by mistake.
 */
export type Settings = { readonly [K in keyof typeof TABLE]: Value<(typeof TABLE)[K]> };

/** The settings of the object store, as plain data that can be sent to a thread. */
export type StorageSettings = Pick<Settings, (typeof STORAGE)[number]>;

const STORAGE = [
  'storageUrl',
  'containers',
  's3Endpoint',
  's3Region',
  's3AccessKeyId',
  's3SecretAccessKey',
  's3SessionToken',
  's3PathStyle',
  'gcsEndpoint',
  'gcsIamEndpoint',
  'gcsClientEmail',
  'gcsPrivateKey',
  'azureEndpoint',
  'azureAccountKey',
  'azureSasVersion',
] as const satisfies readonly (keyof Settings)[];

export function storageSettings(settings: Settings): StorageSettings {
  return Object.fromEntries(STORAGE.map((name) => [name, settings[name]])) as unknown as StorageSettings;
}

const PREFIX = 'HEADWATER_';
/** Variables of the local stack and of the tests, which are read elsewhere. */
const OTHERS = /^HEADWATER_(STACK|TEST)(_|$)/;

/**
 * The settings of this process.
 * @param otherwise values of variables that the environment does not have
 */
export function readSettings(roles?: readonly Role[], otherwise: Environment = {}): Settings {
  return parseSettings({ ...otherwise, ...process.env }, roles);
}

/** Returns whether the environment names a value. */
export function isSet(name: keyof Settings): boolean {
  return readText(process.env, TABLE[name].name) !== undefined;
}

/**
 * @param roles the roles to run, instead of those the environment names
 * @throws `bad-config`; its message has one line for each setting that is missing, wrong or unknown
 */
export function parseSettings(given: Environment, roles?: readonly Role[]): Settings {
  const aidbox = readAidboxNames(given);
  const env = { ...aidbox.values, ...given };
  const problems = [...unknownNames(env), ...aidbox.problems];
  const values: Record<string, unknown> = {};
  const read = (name: string): string => readText(env, name) ?? defaultText(settingOf(name), read) ?? '';
  for (const [key, setting] of Object.entries<Setting<unknown>>(TABLE)) {
    const value = readText(env, setting.name) ?? defaultText(setting, read);
    if (value === undefined) continue;
    try {
      values[key] = setting.type.parse(value);
    } catch (error) {
      // A default that is made from another setting is wrong only if that setting is, which has its own line.
      if (readText(env, setting.name) !== undefined)
        problems.push(`${PREFIX}${setting.name} ${messageOf(error)}`);
    }
  }
  if (roles) values['roles'] = roles;
  const running = (values['roles'] ?? []) as readonly Role[];
  for (const setting of Object.values<Setting<unknown>>(TABLE)) {
    const user = setting.neededBy.find((role) => running.includes(role));
    if (user && readText(env, setting.name) === undefined) problems.push(missing(setting, user));
  }
  problems.push(...contradictions(env, values), ...accessProblems(values, running));
  if (problems.length > 0) throw new HeadwaterError('bad-config', problems.join('\n'));
  return withGuards(values);
}

/** Returns the settings for a log: every value that is set, with secrets hidden. */
export function printableSettings(settings: Settings): Record<string, unknown> {
  const secret = (key: string): boolean =>
    Object.entries<Setting<unknown>>(TABLE).some(([name, { secret }]) => secret && name === key);
  return Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [key, secret(key) ? '(secret)' : value]),
  );
}

/** Returns undefined for a variable that is missing or empty. */
function readText(env: Environment, name: string): string | undefined {
  const value = env[PREFIX + name]?.trim();
  return value === '' ? undefined : value;
}

function defaultText(setting: Setting<unknown>, read: (name: string) => string): string | undefined {
  return typeof setting.default === 'object' ? setting.default.from(read) : setting.default;
}

function settingOf(name: string): Setting<unknown> {
  const found = Object.values<Setting<unknown>>(TABLE).find((setting) => setting.name === name);
  if (!found) throw new HeadwaterError('internal', `no setting is named ${name}`);
  return found;
}

function missing(setting: Setting<unknown>, role: Role): string {
  return `${PREFIX}${setting.name} is not set; ${role} needs it: ${setting.help}`;
}

function unknownNames(env: Environment): string[] {
  const known = Object.values<Setting<unknown>>(TABLE).map((setting) => setting.name);
  return Object.keys(env)
    .filter((name) => name.startsWith(PREFIX) && !OTHERS.test(name))
    .map((name) => name.slice(PREFIX.length))
    .filter((name) => !known.includes(name))
    .map((name) => {
      const alike = nearest(name, known);
      const hint = alike === undefined ? '' : `; did you mean ${PREFIX}${alike}?`;
      return `${PREFIX}${name} is not a setting${hint}`;
    });
}

/** Settings that are set together or not at all. */
const TOGETHER = [
  ['S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'],
  ['GCS_CLIENT_EMAIL', 'GCS_PRIVATE_KEY'],
] as const;

function halfSet(env: Environment, names: readonly string[]): string[] {
  const [missing] = names.filter((name) => readText(env, name) === undefined);
  const [given] = names.filter((name) => readText(env, name) !== undefined);
  if (missing === undefined || given === undefined) return [];
  return [`${PREFIX}${missing} is not set; ${PREFIX}${given} needs it`];
}

/** Returns the errors of settings that contradict each other. */
function contradictions(env: Environment, values: Readonly<Record<string, unknown>>): string[] {
  const problems = TOGETHER.flatMap((names) => halfSet(env, names));
  const bucket = bucketOf(values['storageUrl']);
  if (bucket !== undefined && (values['containers'] as readonly string[] | undefined)?.includes(bucket))
    problems.push(
      `${PREFIX}CONTAINERS names the bucket of ${PREFIX}STORAGE_URL: leave it out, exports without _container go there`,
    );
  if (values['kafkaSaslMechanism'] !== undefined) {
    for (const name of ['KAFKA_SASL_USERNAME', 'KAFKA_SASL_PASSWORD']) {
      if (readText(env, name) === undefined)
        problems.push(`${PREFIX}${name} is not set; ${PREFIX}KAFKA_SASL_MECHANISM needs it`);
    }
  }
  return problems;
}

function bucketOf(storageUrl: unknown): string | undefined {
  const place = typeof storageUrl === 'string' ? parseStorageUrl(storageUrl) : undefined;
  return place && 'bucket' in place ? place.bucket : undefined;
}

/** Whether a setting that only some roles need is there. */
export function isGiven(settings: Settings, name: keyof Settings): boolean {
  return Object.getOwnPropertyDescriptor(settings, name)?.value !== undefined;
}

function withGuards(values: Readonly<Record<string, unknown>>): Settings {
  const settings: Record<string, unknown> = { ...values };
  for (const [key, setting] of Object.entries<Setting<unknown>>(TABLE)) {
    if (setting.neededBy.length === 0 || values[key] !== undefined) continue;
    Object.defineProperty(settings, key, {
      get: () => {
        throw new HeadwaterError('bad-config', `${PREFIX}${setting.name} is not set: ${setting.help}`);
      },
    });
  }
  return settings as Settings;
}
