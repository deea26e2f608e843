import type { StorageSettings } from '../config/settings.ts';
import { parseStorageUrl } from '../config/storage-url.ts';
import { FsStore } from './fs-store.ts';
import type { ClaimableStore, ObjectStore } from './object-store.ts';

export type Store = ObjectStore & ClaimableStore;

/** Opens the store that HEADWATER_STORAGE_URL names. Loads only the SDK of that store: each takes tens of MB. */
export async function openStore(settings: StorageSettings): Promise<Store> {
  const place = parseStorageUrl(settings.storageUrl);
  switch (place.type) {
    case 'fs':
      return new FsStore(place.directory);
    case 's3': {
      const { s3Endpoint, s3Region, s3PathStyle, s3AccessKeyId, s3SecretAccessKey, s3SessionToken } =
        settings;
      const { S3Store } = await import('./s3-store.ts');
      return new S3Store({
        ...place,
        otherBuckets: settings.containers,
        endpoint: s3Endpoint,
        region: s3Region,
        pathStyle: s3PathStyle,
        credentials:
          s3AccessKeyId === undefined || s3SecretAccessKey === undefined
            ? undefined
            : {
                accessKeyId: s3AccessKeyId,
                secretAccessKey: s3SecretAccessKey,
                ...(s3SessionToken !== undefined && { sessionToken: s3SessionToken }),
              },
      });
    }
    case 'gcs': {
      const {
        gcsEndpoint,
        gcsIamEndpoint,
        gcsClientEmail: clientEmail,
        gcsPrivateKey: privateKey,
      } = settings;
      const { GcsStore } = await import('./gcs-store.ts');
      return new GcsStore({
        ...place,
        otherBuckets: settings.containers,
        endpoint: gcsEndpoint,
        iamEndpoint: gcsIamEndpoint,
        credentials:
          clientEmail === undefined || privateKey === undefined ? undefined : { clientEmail, privateKey },
      });
    }
    case 'azure': {
      const { azureEndpoint, azureAccountKey: accountKey, azureSasVersion } = settings;
      const { AzureStore } = await import('./azure-store.ts');
      return new AzureStore({
        ...place,
        container: place.bucket,
        otherContainers: settings.containers,
        endpoint: azureEndpoint ?? new URL(settings.storageUrl).origin.replace('.dfs.', '.blob.'),
        credential: accountKey === undefined ? await workloadIdentity() : { accountKey },
        sasVersion: azureSasVersion,
      });
    }
  }
}

/** The identity that Azure gives this process: a workload, a managed identity, or the login of a developer. */
async function workloadIdentity() {
  const { DefaultAzureCredential } = await import('@azure/identity');
  // The operator names the authority by AZURE_AUTHORITY_HOST, and clouds without internet cannot ask Microsoft's about it.
  return new DefaultAzureCredential({ disableInstanceDiscovery: true });
}
