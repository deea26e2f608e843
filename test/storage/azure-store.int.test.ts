import { cloudStoreContract } from '../contract/cloud-store.ts';
import { azureServer } from '../support/object-servers.ts';

cloudStoreContract('Azure Blob Storage', {
  start: azureServer,
  kind: { showsUnfinishedFrom: 20_000_000, sameBytesOnly: true },
  extended: (url) => url.searchParams.set('se', new Date(Date.now() + 86_400_000).toISOString()),
  wrongCredentials: { HEADWATER_AZURE_ACCOUNT_KEY: Buffer.from('wrong').toString('base64') },
  namesCredentials: /^cannot \w+ http.*HEADWATER_AZURE_ACCOUNT_KEY/,
});
