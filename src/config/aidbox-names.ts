import type { Environment } from './environment.ts';

/** Names of one value in Aidbox's environment: today's and the older one. */
const NAMES = {
  provider: ['BOX_FHIR_BULK_STORAGE_PROVIDER', 'box_bulk__storage_backend'],
  gcpBucket: ['BOX_FHIR_BULK_STORAGE_GCP_BUCKET', 'box_bulk__storage_gcp_bucket'],
  gcpAccount: ['BOX_FHIR_BULK_STORAGE_GCP_SERVICE_ACCOUNT', 'box_bulk__storage_gcp_service__account'],
  azureContainer: ['BOX_FHIR_BULK_STORAGE_AZURE_CONTAINER', 'box_bulk__storage_azure_container'],
  awsAccount: ['BOX_FHIR_BULK_STORAGE_AWS_ACCOUNT', 'box_bulk__storage_aws_account'],
  awsBucket: ['BOX_FHIR_BULK_STORAGE_AWS_BUCKET', 'box_bulk__storage_aws_bucket'],
} as const;

/**
 * Reads the storage settings of Aidbox, so that its environment works here.
 * @returns the values of our own variables that they stand for, and an error for each one that cannot be used
 */
export function readAidboxNames(env: Environment): {
  readonly values: Environment;
  readonly problems: readonly string[];
} {
  const problems: string[] = [];
  const set = (name: string): string | undefined => env[name]?.trim() || undefined;
  const read = (key: keyof typeof NAMES): string | undefined => {
    const [name, older] = NAMES[key];
    const [value, olderValue] = [set(name), set(older)];
    if (value !== undefined && olderValue !== undefined && value !== olderValue)
      problems.push(`${name} and ${older} differ: unset one of them`);
    return value ?? olderValue;
  };
  const nameOf = (key: keyof typeof NAMES): string =>
    NAMES[key].find((name) => set(name) !== undefined) ?? NAMES[key][0];
  const [provider, gcpBucket, gcpAccount, azureContainer, awsAccount, awsBucket] = [
    read('provider'),
    read('gcpBucket'),
    read('gcpAccount'),
    read('azureContainer'),
    read('awsAccount'),
    read('awsBucket'),
  ];
  const url = ((): string | undefined => {
    switch (provider) {
      case undefined:
        if ((gcpBucket ?? azureContainer ?? awsBucket) !== undefined)
          problems.push(
            `${NAMES.provider[0]} is not set: storage type not specified; set it to aws, gcp or azure`,
          );
        return undefined;
      case 'aws':
        return awsBucket === undefined ? undefined : `s3://${awsBucket}`;
      case 'gcp':
        return gcpBucket === undefined ? undefined : `gs://${gcpBucket}`;
      case 'azure': {
        const account = set('AZURE_STORAGE_ACCOUNT');
        if (azureContainer !== undefined && account === undefined)
          problems.push(
            'AZURE_STORAGE_ACCOUNT is not set: account not specified; set it to the name of the account',
          );
        return azureContainer === undefined || account === undefined
          ? undefined
          : `https://${account}.blob.core.windows.net/${azureContainer}`;
      }
      default:
        problems.push(`${nameOf('provider')} is an unsupported storage type: set it to aws, gcp or azure`);
        return undefined;
    }
  })();
  const bucketOf = { aws: 'awsBucket', gcp: 'gcpBucket', azure: 'azureContainer' } as const;
  if (provider !== undefined && Object.hasOwn(bucketOf, provider)) {
    const key = bucketOf[provider as keyof typeof bucketOf];
    if (read(key) === undefined) problems.push(`${NAMES[key][0]} is not set: bucket not specified`);
  }
  // Aidbox keeps the keys of an account in its database, which is not ours.
  const needs = (key: 'awsAccount' | 'gcpAccount', variable: string, other: string): void => {
    if (set(variable) === undefined)
      problems.push(
        `${nameOf(key)}: account not found; its keys are in Aidbox: set ${variable} and ${other}, or unset it to use the identity of the workload`,
      );
  };
  if (provider === 'aws' && awsAccount !== undefined)
    needs('awsAccount', 'HEADWATER_S3_ACCESS_KEY_ID', 'HEADWATER_S3_SECRET_ACCESS_KEY');
  if (provider === 'gcp' && gcpAccount !== undefined)
    needs('gcpAccount', 'HEADWATER_GCS_CLIENT_EMAIL', 'HEADWATER_GCS_PRIVATE_KEY');
  const own = set('HEADWATER_STORAGE_URL')?.replace(/\/+$/, '');
  if (url !== undefined && own !== undefined && own !== url)
    problems.push(
      `HEADWATER_STORAGE_URL and ${nameOf(bucketOf[provider as keyof typeof bucketOf])} name different stores: unset one of them`,
    );
  return { values: url === undefined ? {} : { HEADWATER_STORAGE_URL: url }, problems };
}
