import type { Meaning, Step } from './storage-error.ts';
import { isBusy } from './storage-error.ts';

const RIGHTS: Readonly<Record<Step, string>> = {
  write: 's3:PutObject',
  read: 's3:GetObject and s3:ListBucket',
  list: 's3:ListBucket and s3:ListBucketMultipartUploads',
  delete: 's3:DeleteObject and s3:AbortMultipartUpload',
  sign: 's3:GetObject',
};

/** Answers that are results for the caller and no faults. */
const RESULTS = new Set([
  ...['NotFound', 'NoSuchKey', 'NoSuchUpload', 'PreconditionFailed', 'ConditionalRequestConflict'],
  'InvalidRange',
]);

/** Errors of the token service, besides a denied sts: action. Source: AWS STS API Reference, AssumeRoleWithWebIdentity */
const NO_ROLE = new Set([
  ...[
    'IDPRejectedClaim',
    'IDPRejectedClaimException',
    'InvalidIdentityToken',
    'InvalidIdentityTokenException',
  ],
  'ExpiredTokenException',
]);

/**
 * Returns the meaning of an error of the AWS SDK. undefined for results.
 * Source: Amazon S3 API Reference, "Error responses"
 */
export function meaningOfS3(error: unknown, step: Step, bucket: string): Meaning | undefined {
  const { name = '', $metadata } = error as { name?: string; $metadata?: { httpStatusCode?: number } };
  const status = $metadata?.httpStatusCode;
  if (RESULTS.has(name)) return undefined;
  const refused = (advice: string): Meaning => ({ code: 'refused', advice });
  const wrong = (advice: string): Meaning => ({ code: 'bad-config', advice });
  if (NO_ROLE.has(name) || (status === 403 && /\bsts:/.test((error as Error).message)))
    return refused(
      'AWS does not give this workload its role: check AWS_ROLE_ARN, the trust policy of the role and the token of the service account',
    );
  switch (name) {
    case 'RequestTimeout':
    case 'IncompleteBody':
    case 'OperationAborted':
    case 'BadDigest':
    case 'XAmzContentChecksumMismatch':
      return { code: 'unavailable', advice: 'the bytes did not arrive whole' };
    case 'NoSuchBucket':
      return wrong(
        `there is no bucket "${bucket}": create it, or correct HEADWATER_STORAGE_URL or HEADWATER_CONTAINERS`,
      );
    case 'InvalidBucketName':
      return wrong(`"${bucket}" is not a name of a bucket: change HEADWATER_STORAGE_URL`);
    case 'InvalidAccessKeyId':
      return refused('the store does not know the access key: change HEADWATER_S3_ACCESS_KEY_ID');
    case 'SignatureDoesNotMatch':
      return refused('the secret does not belong to the access key: change HEADWATER_S3_SECRET_ACCESS_KEY');
    case 'CredentialsProviderError':
    case 'TokenProviderError':
      return refused(
        'there are no credentials: set HEADWATER_S3_ACCESS_KEY_ID and HEADWATER_S3_SECRET_ACCESS_KEY, or give the workload a role',
      );
    case 'ExpiredToken':
    case 'InvalidToken':
      return refused(
        'the session token is not valid: renew HEADWATER_S3_SESSION_TOKEN or the role of the workload',
      );
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return wrong(`the bucket "${bucket}" is in another region: change HEADWATER_S3_REGION`);
    case 'RequestTimeTooSkewed':
      return {
        code: 'unavailable',
        advice: 'the clocks of this machine and of the store differ by minutes: set this machine’s clock',
      };
  }
  if (/region is missing/i.test((error as Error).message))
    return wrong('there is no region: set HEADWATER_S3_REGION');
  if (status === 301 || status === 307)
    return wrong(`the bucket "${bucket}" is in another region: change HEADWATER_S3_REGION`);
  if (status === 401 || status === 403)
    return refused(`the credentials lack a right in the bucket "${bucket}": grant ${RIGHTS[step]}`);
  if (isBusy(error, status)) return { code: 'unavailable', advice: 'the store does not answer now' };
  return undefined;
}
