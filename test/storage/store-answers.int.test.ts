import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseSettings, storageSettings } from '../../src/config/settings.ts';
import { openStore } from '../../src/storage/open-store.ts';
import type { Store } from '../../src/storage/open-store.ts';

/** An answer as a cloud documents it. */
interface Answer {
  readonly status: number;
  readonly code: string;
  readonly words?: string;
}

/** The code of our error, and a pattern of its message. */
type Case = readonly [answer: Answer, code: string, message: RegExp];

const xml = ({ code, words = 'words' }: Answer): string =>
  `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${words}</Message></Error>`;

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

const S3: readonly Case[] = [
  [{ status: 404, code: 'NoSuchBucket' }, 'bad-config', /no bucket "b".*HEADWATER_STORAGE_URL/],
  [{ status: 403, code: 'InvalidAccessKeyId' }, 'refused', /HEADWATER_S3_ACCESS_KEY_ID/],
  [{ status: 403, code: 'SignatureDoesNotMatch' }, 'refused', /HEADWATER_S3_SECRET_ACCESS_KEY/],
  [{ status: 403, code: 'AccessDenied' }, 'refused', /grant s3:PutObject/],
  [{ status: 301, code: 'PermanentRedirect' }, 'bad-config', /another region.*HEADWATER_S3_REGION/],
  [{ status: 400, code: 'AuthorizationHeaderMalformed' }, 'bad-config', /HEADWATER_S3_REGION/],
  [{ status: 403, code: 'RequestTimeTooSkewed' }, 'unavailable', /clocks .* differ/],
  [{ status: 400, code: 'ExpiredToken' }, 'refused', /HEADWATER_S3_SESSION_TOKEN/],
  [{ status: 400, code: 'BadDigest' }, 'unavailable', /did not arrive whole/],
  [{ status: 503, code: 'SlowDown' }, 'unavailable', /does not answer now.*SlowDown/],
  [{ status: 500, code: 'InternalError' }, 'unavailable', /does not answer now/],
];

const AZURE: readonly Case[] = [
  [{ status: 404, code: 'ContainerNotFound' }, 'bad-config', /no container "b".*HEADWATER_STORAGE_URL/],
  [{ status: 403, code: 'AuthenticationFailed' }, 'refused', /HEADWATER_AZURE_ACCOUNT_KEY.*clock/],
  [{ status: 403, code: 'AuthorizationPermissionMismatch' }, 'refused', /Storage Blob Data Contributor/],
  [{ status: 400, code: 'Md5Mismatch' }, 'unavailable', /did not arrive whole/],
  [{ status: 503, code: 'ServerBusy' }, 'unavailable', /does not answer now/],
];

const GOOGLE: readonly Case[] = [
  [
    { status: 404, code: 'notFound', words: 'The specified bucket does not exist.' },
    'bad-config',
    /no bucket "b".*HEADWATER_STORAGE_URL/,
  ],
  [{ status: 401, code: 'authError' }, 'refused', /HEADWATER_GCS_CLIENT_EMAIL/],
  [{ status: 403, code: 'forbidden' }, 'refused', /grant storage.objects.create/],
  [{ status: 503, code: 'backendError' }, 'unavailable', /does not answer now/],
  [{ status: 429, code: 'rateLimitExceeded' }, 'unavailable', /does not answer now/],
];

describe('a store', function () {
  this.timeout(60_000);
  let server: Server;
  let endpoint: string;
  let answer: Answer;

  before(async () => {
    server = createServer((request, response) => {
      request.resume().once('end', () => {
        const { status, code, words = 'words' } = answer;
        response.setHeader('x-ms-error-code', code);
        if (!/^\/(?:storage|upload)\//.test(request.url ?? ''))
          response.writeHead(status, { 'content-type': 'application/xml' }).end(xml(answer));
        else {
          const errors = [{ reason: code, message: words }];
          const body = JSON.stringify({ error: { code: status, message: words, errors } });
          response.writeHead(status, { 'content-type': 'application/json' }).end(body);
        }
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  for (const [name, settings, cases] of [
    [
      'S3',
      () => ({
        HEADWATER_STORAGE_URL: 's3://b/p',
        HEADWATER_S3_ENDPOINT: endpoint,
        HEADWATER_S3_REGION: 'us-east-1',
        HEADWATER_S3_ACCESS_KEY_ID: 'key',
        HEADWATER_S3_SECRET_ACCESS_KEY: 'a-secret-that-no-error-shows',
      }),
      S3,
    ],
    [
      'Azure',
      () => ({
        HEADWATER_STORAGE_URL: 'https://account.blob.core.windows.net/b/p',
        HEADWATER_AZURE_ENDPOINT: `${endpoint}/account`,
        HEADWATER_AZURE_ACCOUNT_KEY: 'YS1zZWNyZXQtdGhhdC1uby1lcnJvci1zaG93cw==',
      }),
      AZURE,
    ],
    [
      'Google',
      () => ({
        HEADWATER_STORAGE_URL: 'gs://b/p',
        HEADWATER_GCS_ENDPOINT: endpoint,
        HEADWATER_GCS_CLIENT_EMAIL: 'a@b.iam.gserviceaccount.com',
        HEADWATER_GCS_PRIVATE_KEY: pem,
      }),
      GOOGLE,
    ],
  ] as const)
    for (const [given, code, message] of cases)
      it(`makes ${code} of ${given.code} from ${name}, with the step and what to change`, async () => {
        answer = given;
        const store: Store = await openStore(storageSettings(parseSettings(settings(), [])));
        const writing = async (): Promise<void> => {
          const writer = await store.create('job/a', 'application/fhir+ndjson');
          await writer.write(Buffer.from('x'));
          await writer.finish();
        };
        await assert.rejects(writing(), (error: Error & { code?: unknown }) => {
          assert.equal(error.code, code, error.message);
          assert.match(error.message, /^cannot write /);
          assert.match(error.message, message);
          assert.doesNotMatch(error.message, /that-no-error-shows|YS1zZWNy|PRIVATE KEY-/);
          return true;
        });
      });
});
