import { messageOf } from '../base/errors.ts';
import { isBusy } from './storage-error.ts';
import type { Meaning, Step } from './storage-error.ts';

const IDENTITY_ERRORS = new Set([
  ...['CredentialUnavailableError', 'AggregateAuthenticationError'],
  ...['AuthenticationRequiredError', 'AuthenticationError'],
]);

/** Microsoft's words for an identity service that is away or busy. */
const AWAY =
  /network_error|endpoints_resolution_error|temporarily_unavailable|Network unreachable|AADSTS(?:50196|90033)|status code: (?:429|5\d\d)/i;

/** Microsoft tries one identity after another. Returns the error that explains why none works. */
export function tellingError(error: unknown): unknown {
  const { errors } = error as { errors?: unknown };
  if (!Array.isArray(errors)) return error;
  const refusal = errors.find(isRefusal) as unknown;
  return errors.find((one) => AWAY.test(messageOf(one))) ?? refusal ?? error;
}

function isRefusal(error: unknown): boolean {
  const { name } = error as { name?: unknown };
  return name === 'AuthenticationRequiredError' || name === 'AuthenticationError';
}

function meaningOfIdentity(error: unknown): Meaning {
  const telling = tellingError(error);
  if (AWAY.test(messageOf(telling)))
    return {
      code: 'unavailable',
      advice:
        'no token for the identity of the workload comes from Microsoft Entra now: if that lasts, check AZURE_AUTHORITY_HOST and AZURE_TENANT_ID',
    };
  if (isRefusal(telling))
    return {
      code: 'refused',
      advice:
        'Microsoft Entra does not accept the identity of the workload: check AZURE_CLIENT_ID and the federated credential of that application',
    };
  return {
    code: 'refused',
    advice: 'there are no credentials: set HEADWATER_AZURE_ACCOUNT_KEY, or give the workload an identity',
  };
}

/**
 * Returns the meaning of an error of the SDK. undefined for results: no such blob, a blob that exists, blocks that are gone.
 * Source: Azure Storage REST API, "Blob service error codes"
 */
export function meaningOfAzure(
  error: unknown,
  step: Step,
  { account, container }: { readonly account: string; readonly container: string },
): Meaning | undefined {
  const { name, statusCode, code } = error as { name?: string; statusCode?: number; code?: string };
  const words = messageOf(error);
  if (code === 'ContainerNotFound')
    return {
      code: 'bad-config',
      advice: `there is no container "${container}": create it, or correct HEADWATER_STORAGE_URL or HEADWATER_CONTAINERS`,
    };
  if (code === 'Md5Mismatch' || code === 'InvalidBlobOrBlock')
    return { code: 'unavailable', advice: 'the bytes did not arrive whole' };
  if (code === 'ENOTFOUND')
    return {
      code: 'unavailable',
      advice: `there is no account "${account}", or its name cannot be resolved now: compare HEADWATER_STORAGE_URL`,
    };
  if (
    code === 'AuthenticationFailed' ||
    code === 'AuthorizationFailure' ||
    code === 'InvalidAuthenticationInfo'
  )
    return {
      code: 'refused',
      advice: `the account "${account}" does not accept the credentials: change HEADWATER_AZURE_ACCOUNT_KEY, or check the identity of the workload, the firewall of the account and this machine’s clock`,
    };
  if (IDENTITY_ERRORS.has(name ?? '')) return meaningOfIdentity(error);
  if (statusCode === 401 || statusCode === 403)
    return {
      code: 'refused',
      advice:
        step === 'sign'
          ? `the identity may not sign URLs of the account "${account}": grant Storage Blob Delegator`
          : `the credentials are not accepted, or lack a right in the container "${container}": check HEADWATER_AZURE_ACCOUNT_KEY, or grant Storage Blob Data Contributor`,
    };
  if (/accountkey|base64/i.test(words) && statusCode === undefined)
    return { code: 'bad-config', advice: 'HEADWATER_AZURE_ACCOUNT_KEY is not the key of an account' };
  if (isBusy(error, statusCode)) return { code: 'unavailable', advice: 'the store does not answer now' };
  return undefined;
}
