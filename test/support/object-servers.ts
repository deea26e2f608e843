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
import { GcsGate } from './gcs-gate.ts';
import { StoreProcess } from './store-process.ts';
import { fakeGcsServer, s3proxyJar } from './store-tools.ts';

/** A server and the settings of Headwater for it. */
export interface ObjectServer {
  readonly process: StoreProcess;
  /** Without a bucket and without HEADWATER_STORAGE_URL. */
  readonly settings: Readonly<Record<string, string>>;
  /** Makes a bucket or container. Resolves to its HEADWATER_STORAGE_URL. */
  makeBucket(name: string): Promise<string>;
  stop(): Promise<void>;
}

/** An S3 server that verifies signatures: s3proxy. */
export async function s3Server(): Promise<ObjectServer> {
  const [jar, java, port] = [await s3proxyJar(), await findJava(process.env, 17), await freePort()];
  const endpoint = `http://127.0.0.1:${port}`;
  const credentials = { accessKeyId: 'headwater-tests', secretAccessKey: randomBytes(20).toString('hex') };
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
  process: StoreProcess,
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
  const started = await StoreProcess.start(
    (folder) => ({
      file: process.execPath,
      parameters: [
        main,
        ...['--silent', '--disableTelemetry', '--skipApiVersionCheck'],
        ...['--blobHost', '127.0.0.1', '--blobPort', String(port), '--location', join(folder, 'data')],
        ...(https ? ['--oauth', 'basic', '--cert', https.keyStore, '--pwd', https.password] : []),
      ],
      env: { AZURITE_ACCOUNTS: `${account}:${key}` },
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
  const [file, port, gatePort] = [await fakeGcsServer(), await freePort(), await freePort()];
  const endpoint = `http://127.0.0.1:${gatePort}`;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const email = 'tests@headwater.iam.gserviceaccount.com';
  const started = await StoreProcess.start(
    (folder) => ({
      file,
      parameters: [
        ...['-scheme', 'http', '-host', '127.0.0.1', '-port', String(port), '-log-level', 'warn'],
        ...['-backend', 'filesystem', '-filesystem-root', join(folder, 'data')],
        ...['-external-url', endpoint, '-public-host', `127.0.0.1:${gatePort}`],
      ],
    }),
    `http://127.0.0.1:${port}/storage/v1/b`,
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
