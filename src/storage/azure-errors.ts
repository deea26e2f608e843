import { messageOf } from '../base/errors.ts';
import { isBusy } from './storage-error.ts';
import type { Meaning, Step } from './storage-error.ts';

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
  if (
    name === 'CredentialUnavailableError' ||
    name === 'AggregateAuthenticationError' ||
    name === 'AuthenticationRequiredError'
  )
    return {
      code: 'refused',
      advice: 'there are no credentials: set HEADWATER_AZURE_ACCOUNT_KEY, or give the workload an identity',
    };
  if (name === 'AuthenticationError')
    return { code: 'refused', advice: 'Microsoft Entra does not accept the identity of the workload' };
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
