import { cloudStoreContract } from '../contract/cloud-store.ts';
import { gcsServer } from '../support/object-servers.ts';

cloudStoreContract('Google Cloud Storage', {
  start: gcsServer,
  kind: {},
  extended: (url) => url.searchParams.set('X-Goog-Expires', '86400'),
  wrongCredentials: { HEADWATER_GCS_CLIENT_EMAIL: 'other@headwater.iam.gserviceaccount.com' },
  namesCredentials: /^cannot \w+ gs:.*HEADWATER_GCS_CLIENT_EMAIL/,
});
