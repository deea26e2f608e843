import { HeadwaterError } from '../../base/errors.ts';
import { isObject } from '../../base/is-object.ts';
import { isId } from '../../fhir/reference.ts';
import type { Identity } from '../identity.ts';
import type { ExternalIssuer } from '../policy.ts';

type Claims = Readonly<Record<string, unknown>>;

/** Returns the identity that verified claims describe. Throws `invalid-token` for a claim of a wrong form. */
export function identityOf(claims: Claims, issuer: ExternalIssuer): Identity {
  const { claims: paths, roles } = issuer;
  const client = textOf(valueAt(claims, paths.client) ?? claims['client_id'] ?? claims['azp']);
  if (client === undefined) refuse(`it names no client in ${paths.client}`);
  const given = textsOf(valueAt(claims, paths.roles), paths.roles);
  const patient = valueAt(claims, paths.patient);
  const sub = textOf(claims['sub']);
  return {
    issuer: issuer.issuer,
    client,
    subject: sub === client ? undefined : sub,
    patient: patient === undefined ? undefined : patientId(patient, paths.patient),
    // The order is that of the access file, because the operator chooses it.
    roles: [...new Set([...roles].filter(([value]) => given.includes(value)).map(([, role]) => role))],
    scopes: textsOf(split(valueAt(claims, paths.scope)), paths.scope),
    attributes: Object.fromEntries(
      Object.entries(paths.attributes).map(([name, path]) => [name, textsOf(valueAt(claims, path), path)]),
    ),
    tokenId: textOf(claims['jti']),
  };
}

/** @param path names with dots between them, or the name of a claim that contains dots itself */
function valueAt(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  let value: unknown = claims;
  for (const name of path.split('.')) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && isPlain(value) ? value : undefined;
}

function textsOf(value: unknown, path: string): string[] {
  if (value === undefined || value === null) return [];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.map((one) => textOf(one) ?? refuse(`its claim ${path} is not text`));
}

/** Splits scopes: they are one text with spaces, or a list of such texts. */
function split(value: unknown): unknown {
  if (value === undefined || value === null) return value;
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.flatMap((one) =>
    typeof one === 'string' ? one.split(' ').filter((text) => text !== '') : [one],
  );
}

/** Whether a claim may go into logs and events. */
function isPlain(text: string): boolean {
  return text !== '' && text.length <= 1_024 && !/\p{Cc}/u.test(text);
}

/** Returns the id from `123`, `Patient/123` or an absolute URL with that end. */
function patientId(value: unknown, path: string): string {
  const id =
    typeof value === 'string' ? /^(?:(?:https?:\/\/\S+\/)?Patient\/)?([^/]+)$/.exec(value)?.[1] : undefined;
  return id !== undefined && isId(id) ? id : refuse(`its claim ${path} is no patient`);
}

function refuse(message: string): never {
  throw new HeadwaterError('invalid-token', message);
}
