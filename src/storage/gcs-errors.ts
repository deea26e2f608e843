import { messageOf } from '../base/errors.ts';
import { isBusy } from './storage-error.ts';
import type { Meaning, Step } from './storage-error.ts';

const RIGHTS: Readonly<Record<Step, string>> = {
  write: 'storage.objects.create and storage.objects.delete',
  read: 'storage.objects.get',
  list: 'storage.objects.list',
  delete: 'storage.objects.delete',
  sign: 'iam.serviceAccounts.signBlob',
};

/** The HTTP status of an error of the SDK, or of the error that it wraps. */
export function statusOf(error: unknown): number | undefined {
  const { code, status, cause } = (error ?? {}) as { code?: unknown; status?: unknown; cause?: unknown };
  for (const one of [code, status]) if (/^\d{3}$/.test(String(one))) return Number(one);
  return cause === undefined ? undefined : statusOf(cause);
}

/**
 * Returns the meaning of an error of the SDK. undefined for results: no such object (404), or an object that exists (412).
 * Source: Cloud Storage JSON API, "HTTP status and error codes"
 */
export function meaningOfGcs(error: unknown, step: Step, bucket: string): Meaning | undefined {
  const status = statusOf(error);
  const words = messageOf(error);
  if (/invalid_grant|invalid_client|account not found/i.test(words))
    return {
      code: 'refused',
      advice:
        'Google does not accept the service account: change HEADWATER_GCS_CLIENT_EMAIL and HEADWATER_GCS_PRIVATE_KEY or what GOOGLE_APPLICATION_CREDENTIALS names, and check this machine’s clock',
    };
  if (/DECODER|PEM|unsupported key|asn1/i.test(words))
    return { code: 'bad-config', advice: 'HEADWATER_GCS_PRIVATE_KEY is not a private key in PEM' };
  if (/cannot sign data without/i.test(words))
    return {
      code: 'refused',
      advice:
        'the credentials are of no service account, which alone can sign URLs: let the workload act as one, or set HEADWATER_GCS_CLIENT_EMAIL and HEADWATER_GCS_PRIVATE_KEY',
    };
  if (/could not load the default credentials/i.test(words))
    return {
      code: 'refused',
      advice:
        'there are no credentials: set HEADWATER_GCS_CLIENT_EMAIL and HEADWATER_GCS_PRIVATE_KEY, or give the workload a service account',
    };
  if (/getAccessToken/.test(words) && (status === 403 || status === 404))
    return {
      code: 'refused',
      advice:
        'the workload may not act as its service account: grant it the role Workload Identity User (iam.serviceAccounts.getAccessToken) on that account',
    };
  if (step === 'sign' && (status === 403 || status === 404))
    return {
      code: 'refused',
      advice:
        'the service account may not sign URLs: grant it the role Service Account Token Creator (iam.serviceAccounts.signBlob) on itself, and enable the IAM Service Account Credentials API',
    };
  const lacksBucket = /bucket/i.test(words) || step === 'list' || step === 'write';
  if (status === 404 && lacksBucket)
    return {
      code: 'bad-config',
      advice: `there is no bucket "${bucket}": create it, or correct HEADWATER_STORAGE_URL or HEADWATER_CONTAINERS`,
    };
  if (status === 401)
    return {
      code: 'refused',
      advice:
        'Google does not accept the credentials: change HEADWATER_GCS_CLIENT_EMAIL or HEADWATER_GCS_PRIVATE_KEY',
    };
  if (status === 403)
    return {
      code: 'refused',
      advice: `the credentials lack a right in the bucket "${bucket}": grant ${RIGHTS[step]}`,
    };
  if (status === 404 || status === 412) return undefined;
  if (isBusy(error, status)) return { code: 'unavailable', advice: 'the store does not answer now' };
  return undefined;
}
