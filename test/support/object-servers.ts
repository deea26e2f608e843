import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { Storage } from '@google-cloud/storage';
import { JWT } from 'google-auth-library';
import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findJava } from '../../src/stack/local/java.ts';
import { commonJavaFlags, properties } from '../../src/stack/local/kafka.ts';
import { freePort } from '../../src/stack/ports.ts';
import { forcedKind } from '../../src/stack/stack.ts';
import { GcsGate } from './gcs-gate.ts';
import { StoreContainer, STORE_IMAGES } from './store-container.ts';
import type { StoreImage } from './store-container.ts';
import { StoreProcess } from './store-process.ts';
import type { StoreServer } from './store-process.ts';
import { fakeGcsServer, s3proxyJar } from './store-tools.ts';

/** A server and the settings of Headwater for it. */
export interface ObjectServer {
  readonly process: StoreServer;
  /** Without a bucket and without HEADWATER_STORAGE_URL. */
  readonly settings: Readonly<Record<string, string>>;
  /** Makes a bucket or container. Resolves to its HEADWATER_STORAGE_URL. */
  makeBucket(name: string): Promise<string>;
  stop(): Promise<void>;
}

/** Whether object stores run in containers: with `HEADWATER_STACK=docker`. */
const inContainers = forcedKind(process.env) === 'docker';

/** An S3 server that verifies signatures: s3proxy, or versitygw in a container. */
export async function s3Server(): Promise<ObjectServer> {
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const credentials = { accessKeyId: 'headwater-tests', secretAccessKey: randomBytes(20).toString('hex') };
  if (inContainers) {
    const image: StoreImage = {
      image: STORE_IMAGES.s3,
      port: 7070,
      command: ['--port', ':7070', 'posix', '/tmp'],
      env: { ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
    };
    return s3ServerOf(await StoreContainer.start(image, port, endpoint), endpoint, credentials);
  }
  const [jar, java] = [await s3proxyJar(), await findJava(process.env, 17)];
  const started = await StoreProcess.start((folder) => {
    const config = join(folder, 's3proxy.conf');
    const data = join(folder, 'data');
    writeFileSync(
      config,
      properties({
        's3proxy.authorization': 'aws-v2-or-v4',
        's3proxy.endpoint': endpoint,
        's3proxy.identity': credentials.accessKeyId,
        's3proxy.credential': credentials.secretAccessKey,
        's3proxy.ignore-unknown-headers': 'true', // x-amz-security-token, which it verifies as a part of the request only
        'jclouds.provider': 'filesystem-nio2',
        'jclouds.filesystem.basedir': data,
      }),
    );
    const flags = [
      '-Xmx512m',
      '-DLOG_LEVEL=warn',
      ...commonJavaFlags(folder).filter((flag) => !flag.includes('tmpdir')),
    ];
    return { file: java.path, parameters: [...flags, '-jar', jar, '--properties', config] };
  }, endpoint);
  return s3ServerOf(started, endpoint, credentials);
}

/**
 * versitygw, where its program is on the PATH: it needs less CPU than s3proxy.
 * @param program path of versitygw
 */
export async function versityServer(program: string): Promise<ObjectServer> {
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const credentials = { accessKeyId: 'headwater-tests', secretAccessKey: randomBytes(20).toString('hex') };
  const started = await StoreProcess.start(
    (folder) => ({
      file: program,
      parameters: ['--quiet', '--port', `127.0.0.1:${port}`, 'posix', join(folder, 'data')],
      env: {
        ROOT_ACCESS_KEY: credentials.accessKeyId,
        ROOT_SECRET_KEY: credentials.secretAccessKey,
      },
    }),
    endpoint,
  );
  return s3ServerOf(started, endpoint, credentials);
}

function s3ServerOf(
  process: StoreServer,
  endpoint: string,
  credentials: { readonly accessKeyId: string; readonly secretAccessKey: string },
): ObjectServer {
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  return {
    process,
    settings: {
      HEADWATER_S3_ENDPOINT: endpoint,
      HEADWATER_S3_REGION: 'us-east-1',
      HEADWATER_S3_ACCESS_KEY_ID: credentials.accessKeyId,
      HEADWATER_S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    },
    makeBucket: async (Bucket) => {
      await client.send(new CreateBucketCommand({ Bucket }));
      return `s3://${Bucket}`;
    },
    stop: () => process.stop(),
  };
}

/**
 * Azurite. It knows older versions of signed URLs than the SDK.
 * @param https a key store of PKCS 12. With it the server takes tokens of Entra too: it compares what they claim, and no signature
 */
export async function azureServer(
  https?: Readonly<Record<'keyStore' | 'password', string>>,
): Promise<ObjectServer> {
  const port = await freePort();
  const [account, key] = ['headwatertests', randomBytes(64).toString('base64')];
  const endpoint = `${https ? 'https' : 'http'}://127.0.0.1:${port}/${account}`;
  const main = fileURLToPath(import.meta.resolve('azurite/dist/src/blob/main.js'));
  const options = ['--silent', '--disableTelemetry', '--skipApiVersionCheck'];
  const env = { AZURITE_ACCOUNTS: `${account}:${key}` };
  const image: StoreImage = {
    image: STORE_IMAGES.azure,
    port: 10_000,
    command: ['azurite-blob', ...options, '--blobHost', '0.0.0.0', '--location', '/data'],
    env,
  };
  const started =
    inContainers && !https
      ? await StoreContainer.start(image, port, endpoint)
      : await StoreProcess.start(
          (folder) => ({
            file: process.execPath,
            parameters: [
              main,
              ...options,
              ...['--blobHost', '127.0.0.1', '--blobPort', String(port), '--location', join(folder, 'data')],
              ...(https ? ['--oauth', 'basic', '--cert', https.keyStore, '--pwd', https.password] : []),
            ],
            env,
          }),
          endpoint,
        );
  const service = new BlobServiceClient(endpoint, new StorageSharedKeyCredential(account, key));
  return {
    process: started,
    settings: {
      HEADWATER_AZURE_ENDPOINT: endpoint,
      HEADWATER_AZURE_ACCOUNT_KEY: key,
      HEADWATER_AZURE_SAS_VERSION: '2025-11-05',
    },
    makeBucket: async (name) => {
      await service.createContainer(name);
      return `https://${account}.blob.core.windows.net/${name}`;
    },
    stop: () => started.stop(),
  };
}

export interface GcsServer extends ObjectServer {
  /** Takes requests with this token, which another server has given to the service account. */
  accept(token: string): void;
}

/** fake-gcs-server behind a gate that verifies signed URLs, because the server does not. */
export async function gcsServer(): Promise<GcsServer> {
  const [port, gatePort] = [await freePort(), await freePort()];
  const endpoint = `http://127.0.0.1:${gatePort}`;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const email = 'tests@headwater.iam.gserviceaccount.com';
  const addresses = ['-external-url', endpoint, '-public-host', `127.0.0.1:${gatePort}`];
  const common = ['-scheme', 'http', '-log-level', 'warn', '-backend', 'filesystem', ...addresses];
  const url = `http://127.0.0.1:${port}/storage/v1/b`;
  const image: StoreImage = {
    image: STORE_IMAGES.gcs,
    port: 4443,
    command: [...common, '-port', '4443', '-filesystem-root', '/storage'],
    env: {},
  };
  const file = inContainers ? '' : await fakeGcsServer();
  const started = inContainers
    ? await StoreContainer.start(image, port, url)
    : await StoreProcess.start(
        (folder) => ({
          file,
          parameters: [
            ...common,
            ...['-host', '127.0.0.1', '-port', String(port), '-filesystem-root', join(folder, 'data')],
          ],
        }),
        url,
      );
  const gate = await GcsGate.listen({ port: gatePort, server: port, email, key: createPublicKey(pem) });
  const scopes = ['https://www.googleapis.com/auth/devstorage.full_control'];
  const authClient = new JWT({ email, key: pem, scopes });
  authClient.useJWTAccessWithScope = true;
  const storage = new Storage({
    apiEndpoint: endpoint,
    projectId: 'tests',
    authClient,
    useAuthWithCustomEndpoint: true,
  });
  return {
    process: started,
    settings: {
      HEADWATER_GCS_ENDPOINT: endpoint,
      HEADWATER_GCS_CLIENT_EMAIL: email,
      HEADWATER_GCS_PRIVATE_KEY: pem,
    },
    makeBucket: async (name) => {
      await storage.createBucket(name);
      return `gs://${name}`;
    },
    accept: (token) => gate.accept(token),
    stop: async () => {
      await gate.close();
      await started.stop();
    },
  };
}
