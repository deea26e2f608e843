import { createHash } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import { checkPolicy } from './access-check.ts';
import { fileSchema } from './access-schema.ts';
import type { AccessFile, FileClient, FileIssuer, FileRule } from './access-schema.ts';
import { publicKeys } from './key-source.ts';
import { compileSource } from '../deidentify/source.ts';
import type { DeidentifierSource } from '../deidentify/source.ts';
import { readRedactionKey } from '../config/redaction-keys.ts';
import type { RedactionKey } from '../fhir/redaction.ts';
import { parseYaml, readOr, wrong } from './yaml-file.ts';
import type { AccessPolicy, Client, Condition, ExternalIssuer, Role, Rule } from './policy.ts';

/**
 * Reads and checks the access file and the files that it names.
 * @param path YAML or JSON; paths in it are relative to its folder
 * @param keysFolder the folder of keys for redactions
 * @throws bad-config with one line for each problem; the line names the place in the file
 */
export async function readAccessFile(path: string, keysFolder?: string): Promise<AccessPolicy> {
  const bytes = await readOr(path, 'HEADWATER_ACCESS_FILE');
  const file = parseYaml(bytes.toString('utf8'), path, fileSchema);
  const hash = createHash('sha256').update(bytes);
  // Files are read in the order of the access file, so that the same files have the same hash.
  const named = async (name: string, place: string): Promise<string> => {
    const content = await readOr(resolve(dirname(path), name), place);
    hash.update(content);
    return content.toString('utf8');
  };
  const external: ExternalIssuer[] = [];
  for (const issuer of file.issuers.external) external.push(await externalOf(issuer, named));
  const clients = new Map<string, Client>();
  for (const [id, client] of Object.entries(file.clients)) clients.set(id, await clientOf(id, client, named));
  const keys = await keysOf(file, keysFolder);
  const roles = new Map(Object.entries(file.roles).map(([name, role]) => [name, roleOf(role, keys)]));
  const deidentification = await deidentificationOf(file, named);
  const { embedded } = file.issuers;
  const policy = { hash: hash.digest('hex'), embedded, external, clients, roles, deidentification };
  const problems = checkPolicy(policy);
  if (problems.length > 0) throw wrong(path, problems);
  return policy;
}

/** Returns what a check says of a file whose clients and keys are yet to come. */
export function problemsOfRoles(file: AccessFile): string[] {
  const keys = new Map(keyNamesOf(file).map((name) => [name, { name, fingerprint: '' }]));
  const roles = new Map(Object.entries(file.roles).map(([name, role]) => [name, roleOf(role, keys)]));
  const { embedded } = file.issuers;
  return checkPolicy({ hash: '', embedded, external: [], clients: new Map(), roles });
}

/** Reads a file that the access file names. */
type Named = (name: string, place: string) => Promise<string>;

async function clientOf(id: string, client: FileClient, named: Named): Promise<Client> {
  const { jwks, jwksUrl, jwksFile, ...others } = client;
  const given = [jwks, jwksUrl, jwksFile].filter((one) => one !== undefined);
  if (given.length !== 1)
    throw new HeadwaterError(
      'bad-config',
      `clients.${id}: give one of jwksUrl, jwksFile and jwks, not ${given.length}`,
    );
  if (jwksUrl !== undefined) return { ...others, keys: { url: jwksUrl } };
  const text =
    jwks === undefined ? await named(jwksFile ?? '', `clients.${id}.jwksFile`) : JSON.stringify(jwks);
  return { ...others, keys: { set: publicKeysOf(text, `clients.${id}`) } };
}

function publicKeysOf(text: string, place: string): ReturnType<typeof publicKeys> {
  try {
    return publicKeys(text, place);
  } catch (error) {
    throw new HeadwaterError('bad-config', messageOf(error));
  }
}

async function externalOf(issuer: FileIssuer, named: Named): Promise<ExternalIssuer> {
  const { validate, roles, ...others } = issuer;
  const mapped = new Map(Object.entries(roles));
  if (validate === 'jwt') return { ...others, roles: mapped, validate };
  const { clientSecretFile, ...introspection } = validate.introspection;
  const place = `issuers.external.${issuer.name}.validate.introspection.clientSecretFile`;
  const clientSecret = (await named(clientSecretFile, place)).trim();
  return { ...others, roles: mapped, validate: { ...introspection, clientSecret } };
}

/** Reads and checks the configurations that de-identify, with their keys. */
async function deidentificationOf(
  { deidentification }: AccessFile,
  named: Named,
): Promise<ReadonlyMap<string, DeidentifierSource>> {
  const sources = new Map<string, DeidentifierSource>();
  for (const [name, { config, keys, dateShiftScope: scope }] of Object.entries(deidentification)) {
    const place = `deidentification.${name}`;
    const keyOf = async (key: keyof typeof keys): Promise<Buffer | undefined> => {
      const file = keys[key];
      return file === undefined ? undefined : Buffer.from((await named(file, `${place}.keys.${key}`)).trim());
    };
    const source: DeidentifierSource = {
      name,
      config: await named(config, `${place}.config`),
      keys: {
        cryptoHash: await keyOf('cryptoHash'),
        dateShift: await keyOf('dateShift'),
        encrypt: await keyOf('encrypt'),
      },
      scope,
    };
    await compileSource(source);
    sources.set(name, source);
  }
  return sources;
}

/** Returns the keys that rules name. The secrets stay in their files: a grant has fingerprints only. */
async function keysOf(file: AccessFile, folder: string | undefined): Promise<Keys> {
  const keys = new Map<string, RedactionKey>();
  for (const name of keyNamesOf(file)) {
    const { fingerprint } = await readRedactionKey(folder, name);
    keys.set(name, { name, fingerprint });
  }
  return keys;
}

type Keys = ReadonlyMap<string, RedactionKey>;

function keyNamesOf({ roles }: AccessFile): string[] {
  const redactions = Object.values(roles).flatMap(({ rules }) => rules.flatMap(({ redact }) => redact));
  return [...new Set(redactions.flatMap(({ key }) => key ?? []))];
}

function roleOf(role: AccessFile['roles'][string], keys: Keys): Role {
  return { export: role.export, rules: role.rules.map((rule) => ruleOf(rule, keys)) };
}

function ruleOf({ where, redact, ...rule }: FileRule, keys: Keys): Rule {
  const redactions = redact.map(({ key, ...others }) => ({
    ...others,
    ...(key === undefined ? {} : { key: keys.get(key) }),
  }));
  const criteria = where === 'everything' ? undefined : where.criteria;
  return { ...rule, where: conditionOf(where), ...(criteria && { criteria }), redact: redactions };
}

function conditionOf(where: FileRule['where']): Condition {
  if (where === 'everything') return { kind: 'everything' };
  if ('patient' in where) return { kind: 'own' };
  if ('compartment' in where) return { kind: 'any' };
  return 'group' in where ? { kind: 'groups', groups: where.group } : { kind: 'everything' };
}
