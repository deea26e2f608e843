import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { HeadwaterError } from '../../src/base/errors.ts';
import type { Environment } from '../../src/config/environment.ts';
import { parseSettings } from '../../src/config/settings.ts';
import { parseStorageUrl } from '../../src/config/storage-url.ts';

function problems(env: Environment): string {
  try {
    parseSettings(env, []);
  } catch (error) {
    assert.ok(error instanceof HeadwaterError && error.code === 'bad-config');
    return error.message;
  }
  return '';
}

describe('the URL of a store', () => {
  for (const [url, place] of Object.entries({
    'file:///var/files': { type: 'fs', directory: '/var/files' },
    's3://bucket': { type: 's3', bucket: 'bucket', prefix: '' },
    's3://a.bucket/some/prefix/': { type: 's3', bucket: 'a.bucket', prefix: 'some/prefix' },
    'gs://bucket/p': { type: 'gcs', bucket: 'bucket', prefix: 'p' },
    'https://account.blob.core.windows.net/c/some/prefix': {
      type: 'azure',
      account: 'account',
      bucket: 'c',
      prefix: 'some/prefix',
    },
    'https://account.dfs.core.windows.net/c': { type: 'azure', account: 'account', bucket: 'c', prefix: '' },
    'https://account.blob.core.chinacloudapi.cn/c': {
      type: 'azure',
      account: 'account',
      bucket: 'c',
      prefix: '',
    },
  }))
    it(`names ${place.type} as ${url}`, () => {
      assert.deepEqual(parseStorageUrl(url), place);
    });

  for (const [url, message] of [
    ['nonsense', /must be a URL/],
    ['ftp://host/x', /unsupported storage type/],
    ['minio://bucket', /unsupported storage type/],
    ['file://host/x', /absolute path/],
    ['s3://', /bucket not specified/],
    ['gs:///prefix', /bucket not specified/],
    ['https://account.blob.core.windows.net/', /bucket not specified/],
    ['https://files.example.org/container', /account not specified/],
    ['s3://key:secret@bucket/x', /no user, password or query/],
    ['https://account.blob.core.windows.net/c?sv=2025&sig=secret', /no user, password or query/],
    ['s3://bucket/.hidden', /must have a prefix/],
    ['s3://bucket/a//b', /must have a prefix/],
  ] as const)
    it(`is an error that does not repeat it for ${url}`, () => {
      const text = problems({ HEADWATER_STORAGE_URL: url });
      assert.match(text, message);
      assert.match(text, /^HEADWATER_STORAGE_URL /);
      assert.doesNotMatch(text, /secret/);
    });
});

describe('settings of a store', () => {
  it('need both parts of stored credentials', () => {
    assert.match(problems({ HEADWATER_S3_ACCESS_KEY_ID: 'a' }), /HEADWATER_S3_SECRET_ACCESS_KEY is not set/);
    assert.match(problems({ HEADWATER_GCS_CLIENT_EMAIL: 'a' }), /HEADWATER_GCS_PRIVATE_KEY is not set/);
  });

  it('take a private key with its line ends escaped', () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString().trim();
    const env = { HEADWATER_GCS_CLIENT_EMAIL: 'a', HEADWATER_GCS_PRIVATE_KEY: pem.replaceAll('\n', '\\n') };
    assert.equal(parseSettings(env, []).gcsPrivateKey, pem);
    assert.match(problems({ ...env, HEADWATER_GCS_PRIVATE_KEY: 'nonsense' }), /must be a private key in PEM/);
  });

  it('use the bucket in the path at an endpoint of its own', () => {
    assert.equal(parseSettings({}, []).s3PathStyle, false);
    assert.equal(parseSettings({ HEADWATER_S3_ENDPOINT: 'http://minio:9000' }, []).s3PathStyle, true);
  });

  it('do not name the bucket of the store among the others', () => {
    const env = { HEADWATER_STORAGE_URL: 's3://one/p', HEADWATER_CONTAINERS: 'two,one' };
    assert.match(problems(env), /HEADWATER_CONTAINERS names the bucket of HEADWATER_STORAGE_URL/);
  });
});

describe('names of Aidbox', () => {
  const AWS = { BOX_FHIR_BULK_STORAGE_PROVIDER: 'aws', BOX_FHIR_BULK_STORAGE_AWS_BUCKET: 'b' };
  for (const [what, env, url] of [
    ['aws', AWS, 's3://b'],
    ['aws, older', { box_bulk__storage_backend: 'aws', box_bulk__storage_aws_bucket: 'b' }, 's3://b'],
    ['gcp', { BOX_FHIR_BULK_STORAGE_PROVIDER: 'gcp', BOX_FHIR_BULK_STORAGE_GCP_BUCKET: 'b' }, 'gs://b'],
    [
      'azure',
      {
        BOX_FHIR_BULK_STORAGE_PROVIDER: 'azure',
        BOX_FHIR_BULK_STORAGE_AZURE_CONTAINER: 'c',
        AZURE_STORAGE_ACCOUNT: 'account',
      },
      'https://account.blob.core.windows.net/c',
    ],
  ] as const)
    it(`name the store of ${what}`, () => {
      assert.equal(parseSettings(env, []).storageUrl, url);
      assert.equal(parseSettings({ ...env, HEADWATER_STORAGE_URL: url }, []).storageUrl, url);
    });

  for (const [what, env, message] of [
    ['no type', { BOX_FHIR_BULK_STORAGE_AWS_BUCKET: 'b' }, /storage type not specified/],
    ['an unknown type', { BOX_FHIR_BULK_STORAGE_PROVIDER: 'ftp' }, /unsupported storage type/],
    [
      'no account',
      { BOX_FHIR_BULK_STORAGE_PROVIDER: 'azure', BOX_FHIR_BULK_STORAGE_AZURE_CONTAINER: 'c' },
      /account not specified/,
    ],
    ['an account without keys', { ...AWS, BOX_FHIR_BULK_STORAGE_AWS_ACCOUNT: 'a' }, /account not found/],
    ['no bucket', { BOX_FHIR_BULK_STORAGE_PROVIDER: 'gcp' }, /bucket not specified/],
    ['two values', { ...AWS, box_bulk__storage_aws_bucket: 'c' }, /AWS_BUCKET and box_.* differ/],
    ['another store', { ...AWS, HEADWATER_STORAGE_URL: 's3://c' }, /name different stores/],
  ] as const)
    it(`stop the start for ${what}`, () => {
      assert.match(problems(env), message);
    });
});
