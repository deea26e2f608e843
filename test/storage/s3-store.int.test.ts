import { cloudStoreContract } from '../contract/cloud-store.ts';
import { s3Server } from '../support/object-servers.ts';

cloudStoreContract('S3', {
  start: s3Server,
  kind: { showsUnfinishedFrom: 20_000_000 },
  extended: (url) => url.searchParams.set('X-Amz-Expires', '86400'),
  wrongCredentials: { HEADWATER_S3_SECRET_ACCESS_KEY: 'wrong' },
  namesCredentials: /^cannot \w+ s3:.*HEADWATER_S3_SECRET_ACCESS_KEY/,
});
