import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { promisify } from 'node:util';
import { findJava } from '../../src/stack/local/java.ts';
import { makeCertificates } from '../support/broker-certificate.ts';
import { KEY_STORE_PASSWORD, keyStore } from '../support/broker-properties.ts';
import {
  containerServer,
  entraServer,
  exchangeServer,
  iamServer,
  instanceServer,
  managedIdentityServer,
  metadataServer,
  portalServer,
  silentServer,
  stsServer,
} from '../support/identity-servers.ts';
import type { IdentityServer, RoleCredentials, ServiceAccount } from '../support/identity-servers.ts';
import { azureServer, gcsServer, s3Server } from '../support/object-servers.ts';
import type { GcsServer, ObjectServer } from '../support/object-servers.ts';
import type { Outcome, SignedUrl } from '../support/store-by-identity.ts';
import { until } from '../support/until.ts';

const PROGRAM = join(import.meta.dirname, '..', 'support', 'store-by-identity.ts');
const MINUTE = 60_000;

type Environment = Readonly<Record<string, string | undefined>>;

/** Opens the store in a process with this environment and no other, and signs a URL for each number of seconds. */
async function run(home: string, env: Environment, ...seconds: readonly number[]): Promise<Outcome> {
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, ...seconds.map(String)], {
    env: { PATH: home, HOME: home, ...env }, // logins of the machine’s owner count for nothing
    timeout: MINUTE,
  });
  return JSON.parse(stdout) as Outcome;
}

function urlsOf(outcome: Outcome): readonly SignedUrl[] {
  assert.ok('urls' in outcome, JSON.stringify(outcome));
  return outcome.urls;
}

function failureOf(outcome: Outcome) {
  assert.ok(!('urls' in outcome), 'it was not refused');
  return outcome;
}

describe('identity of a workload', function () {
  this.timeout(120_000);
  let home: string;
  const open: IdentityServer[] = [];

  before(() => (home = mkdtempSync(join(tmpdir(), 'headwater-identity-'))));
  afterEach(async () => {
    for (const server of open.splice(0)) await server.close();
  });
  after(() => rmSync(home, { recursive: true, force: true }));

  async function opened(starting: Promise<IdentityServer>): Promise<IdentityServer> {
    const server = await starting;
    open.push(server);
    return server;
  }

  describe('AWS', () => {
    const ROLE = 'arn:aws:iam::123456789012:role/headwater';
    const TOKEN = 'token-of-the-service-account';
    let server: ObjectServer;
    let settings: Record<string, string>;
    let keys: { readonly accessKeyId: string; readonly secretAccessKey: string };

    before(async () => {
      server = await s3Server();
      const { HEADWATER_S3_ACCESS_KEY_ID, HEADWATER_S3_SECRET_ACCESS_KEY, ...others } = server.settings;
      keys = {
        accessKeyId: HEADWATER_S3_ACCESS_KEY_ID ?? '',
        secretAccessKey: HEADWATER_S3_SECRET_ACCESS_KEY ?? '',
      };
      settings = { ...others, HEADWATER_STORAGE_URL: await server.makeBucket('identity') };
    });
    after(() => server.stop());

    function credentials(minutes = 40): RoleCredentials & { readonly given: Date[] } {
      const given: Date[] = [];
      const expiration = (): Date => {
        const end = new Date(Math.floor(Date.now() / 1000) * 1000 + minutes * MINUTE);
        given.push(end);
        return end;
      };
      return { ...keys, sessionToken: 'a-session', expiration, given };
    }

    async function webIdentity(role: RoleCredentials, { arn = ROLE, token = TOKEN } = {}) {
      const file = join(home, 'token');
      writeFileSync(file, token);
      const sts = await opened(stsServer({ arn: ROLE, token: TOKEN, credentials: role }));
      const env = {
        ...settings,
        AWS_ROLE_ARN: arn,
        AWS_WEB_IDENTITY_TOKEN_FILE: file,
        AWS_ENDPOINT_URL_STS: sts.url,
      };
      return { sts, env };
    }

    async function assertReads([signed]: readonly SignedUrl[], role: { readonly given: readonly Date[] }) {
      assert.ok(signed);
      assert.equal(new URL(signed.url).searchParams.get('X-Amz-Security-Token'), 'a-session');
      const answer = await fetch(signed.url);
      assert.equal(await answer.text(), 'content');
      const end = role.given.at(-1)?.getTime() ?? 0;
      assert.ok(signed.expiresAt <= end && signed.expiresAt > end - 2_000, `${signed.expiresAt} of ${end}`);
    }

    it('writes and signs as the role of a Kubernetes service account (IRSA), and no URL outlives its session', async () => {
      const role = credentials();
      const { env } = await webIdentity(role);
      await assertReads(urlsOf(await run(home, env, 3600)), role);
    });

    it('writes and signs as the role of a container, and no URL outlives its session', async () => {
      const role = credentials();
      const container = await opened(containerServer('Bearer of-the-container', role));
      const env = {
        ...settings,
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `${container.url}/credentials`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN: 'Bearer of-the-container',
      };
      await assertReads(urlsOf(await run(home, env, 3600)), role);
    });

    it('writes and signs as the role of an EC2 instance (IMDSv2), and no URL outlives its session', async () => {
      const role = credentials();
      const instance = await opened(instanceServer(role));
      const env = { ...settings, AWS_EC2_METADATA_SERVICE_ENDPOINT: instance.url };
      await assertReads(urlsOf(await run(home, env, 3600)), role);
      assert.equal(instance.requests[0], 'PUT /latest/api/token');
    });

    it('writes and signs as a person who has logged in with aws sso login, and no URL outlives the session', async () => {
      const role = credentials();
      const portal = await opened(portalServer('of-the-login', role));
      const cache = join(home, '.aws', 'sso', 'cache');
      mkdirSync(cache, { recursive: true });
      const expiresAt = new Date(Date.now() + 60 * MINUTE).toISOString();
      writeFileSync(
        join(cache, `${createHash('sha1').update('of-a-test').digest('hex')}.json`),
        JSON.stringify({ accessToken: 'of-the-login', expiresAt }),
      );
      const session =
        '[sso-session of-a-test]\nsso_region=us-east-1\nsso_start_url=https://example.org/start\n';
      const profile =
        '[default]\nsso_session=of-a-test\nsso_account_id=123456789012\nsso_role_name=headwater\n';
      writeFileSync(join(home, '.aws', 'config'), session + profile);
      await assertReads(
        urlsOf(await run(home, { ...settings, AWS_ENDPOINT_URL_SSO: portal.url }, 3600)),
        role,
      );
      rmSync(join(home, '.aws'), { recursive: true });
    });

    it('renews credentials that end within minutes before it signs with them', async () => {
      let minutes = 6;
      const given: Date[] = [];
      const expiration = (): Date => {
        given.push(new Date(Date.now() + minutes * MINUTE));
        minutes = 60;
        return given.at(-1) as Date;
      };
      const { env } = await webIdentity({ ...keys, sessionToken: 'a-session', expiration });
      const [signed] = urlsOf(await run(home, env, 1800));
      assert.ok(signed && signed.expiresAt > Date.now() + 25 * MINUTE, JSON.stringify({ signed, given }));
      assert.equal((await fetch(signed.url)).status, 200);
    });

    it('says that AWS refuses the role or the token when STS does', async () => {
      for (const wrong of [{ arn: `${ROLE}-of-another` }, { token: 'another' }]) {
        const { env } = await webIdentity(credentials(), wrong);
        const { code, message } = failureOf(await run(home, env, 60));
        assert.equal(code, 'refused', message);
        assert.match(message, /^cannot write s3:\/\/identity\/job\/a: .*AWS_ROLE_ARN/);
      }
    });

    it('is unavailable while the server of its credentials is away', async () => {
      const { env, sts } = await webIdentity(credentials());
      await sts.close();
      open.splice(0);
      const { code, message } = failureOf(await run(home, env, 60));
      assert.equal(code, 'unavailable', message);
    });

    it('names the settings within seconds when nothing gives credentials and the metadata service is silent', async () => {
      const silent = await opened(silentServer());
      const start = Date.now();
      const env = { ...settings, AWS_EC2_METADATA_SERVICE_ENDPOINT: silent.url };
      const { code, message } = failureOf(await run(home, env, 60));
      assert.equal(code, 'refused', message);
      assert.match(message, /^cannot write s3:.*HEADWATER_S3_ACCESS_KEY_ID.*HEADWATER_S3_SECRET_ACCESS_KEY/);
      assert.ok(Date.now() - start < 15_000, `${Date.now() - start} ms`);
    });
  });

  describe('Google Cloud', () => {
    let server: GcsServer;
    let settings: Record<string, string>;
    let account: ServiceAccount;

    before(async () => {
      server = await gcsServer();
      const { HEADWATER_GCS_CLIENT_EMAIL, HEADWATER_GCS_PRIVATE_KEY, ...others } = server.settings;
      account = {
        email: HEADWATER_GCS_CLIENT_EMAIL ?? '',
        key: HEADWATER_GCS_PRIVATE_KEY ?? '',
        token: 'token-of-the-service-account',
      };
      server.accept(account.token);
      settings = { ...others, HEADWATER_STORAGE_URL: await server.makeBucket('identity') };
    });
    after(() => server.stop());

    /** The environment of a pod or machine whose service account is `account`. */
    async function machine(options: { readonly maySign?: boolean } = {}) {
      const metadata = await opened(metadataServer(account));
      const iam = await opened(iamServer(account, options));
      const env = { ...settings, GCE_METADATA_HOST: metadata.url, HEADWATER_GCS_IAM_ENDPOINT: iam.url };
      return { env, iam };
    }

    /** The environment of a process whose application default credentials are in a file. */
    function credentialsFile(content: object) {
      const file = join(home, 'credentials.json');
      writeFileSync(file, JSON.stringify(content));
      return { ...settings, GOOGLE_APPLICATION_CREDENTIALS: file };
    }

    /** The file of a workload that has a token of another cloud, and acts as the service account. */
    function federation(exchange: IdentityServer, iam: IdentityServer) {
      const file = join(home, 'token');
      writeFileSync(file, 'of-another-cloud');
      return {
        type: 'external_account',
        audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q',
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        token_url: `${exchange.url}/v1/token`,
        service_account_impersonation_url: `${iam.url}/v1/projects/-/serviceAccounts/${account.email}:generateAccessToken`,
        credential_source: { file },
      };
    }

    async function assertReads([signed]: readonly SignedUrl[]): Promise<void> {
      assert.ok(signed);
      assert.equal(await (await fetch(signed.url)).text(), 'content');
      const extended = new URL(signed.url);
      extended.searchParams.set('X-Goog-Expires', '86400');
      assert.equal((await fetch(extended)).status, 403);
    }

    it('writes as the service account of a machine or pod, and IAM signs its URLs', async () => {
      const { env, iam } = await machine();
      await assertReads(urlsOf(await run(home, env, 3600)));
      assert.deepEqual(iam.requests, [`POST /v1/projects/-/serviceAccounts/${account.email}:signBlob`]);
    });

    it('writes as a federated workload of another cloud, and IAM signs its URLs', async () => {
      const exchange = await opened(exchangeServer('of-another-cloud', 'federated'));
      const iam = await opened(iamServer(account, { federated: 'federated' }));
      const env = credentialsFile(federation(exchange, iam));
      await assertReads(urlsOf(await run(home, { ...env, HEADWATER_GCS_IAM_ENDPOINT: iam.url }, 3600)));
    });

    it('writes and signs with the key file of a service account, without a request to Google', async () => {
      const env = credentialsFile({
        type: 'service_account',
        client_email: account.email,
        private_key: account.key,
        private_key_id: '1',
        token_uri: 'http://127.0.0.1:1/',
      });
      await assertReads(urlsOf(await run(home, env, 3600)));
    });

    it('names the right that the service account lacks when IAM does not sign', async () => {
      const { env } = await machine({ maySign: false });
      const { code, message, step } = failureOf(await run(home, env, 60));
      assert.deepEqual([code, step], ['refused', 'sign'], message);
      assert.match(message, /^cannot sign gs:\/\/identity\/job\/a: .*iam\.serviceAccounts\.signBlob/);
    });

    it('is unavailable while IAM is away', async () => {
      const { env, iam } = await machine();
      await iam.close();
      open.splice(open.indexOf(iam), 1);
      const { code, message, step } = failureOf(await run(home, env, 60));
      assert.deepEqual([code, step], ['unavailable', 'sign'], message);
    });

    it('says that only a service account can sign URLs when a federated workload acts as none', async () => {
      const exchange = await opened(exchangeServer('of-another-cloud', account.token));
      const { service_account_impersonation_url: _, ...direct } = federation(exchange, exchange);
      const { code, message, step } = failureOf(await run(home, credentialsFile(direct), 60));
      assert.deepEqual([code, step], ['refused', 'sign'], message);
      assert.match(message, /service account/);
    });

    it('names the right that a federated workload lacks to act as its service account', async () => {
      const exchange = await opened(exchangeServer('of-another-cloud', 'federated'));
      const iam = await opened(iamServer(account));
      const { code, message } = failureOf(await run(home, credentialsFile(federation(exchange, iam)), 60));
      assert.equal(code, 'refused', message);
      assert.match(message, /^cannot write .*iam\.serviceAccounts\.getAccessToken/);
    });

    it('says that Google refuses the token of a federated workload', async () => {
      const exchange = await opened(exchangeServer('another', 'federated'));
      const { code, message } = failureOf(
        await run(home, credentialsFile(federation(exchange, exchange)), 60),
      );
      assert.equal(code, 'refused', message);
      assert.match(message, /GOOGLE_APPLICATION_CREDENTIALS/);
    });

    it('names the settings within seconds when nothing gives credentials and the metadata server is silent', async () => {
      const silent = await opened(silentServer());
      const start = Date.now();
      const { code, message } = failureOf(
        await run(home, { ...settings, GCE_METADATA_HOST: silent.url }, 60),
      );
      assert.equal(code, 'refused', message);
      assert.match(message, /^cannot write gs:.*HEADWATER_GCS_CLIENT_EMAIL.*HEADWATER_GCS_PRIVATE_KEY/);
      assert.ok(Date.now() - start < 15_000, `${Date.now() - start} ms`);
    });
  });

  describe('Azure', () => {
    const TENANT = '11111111-2222-3333-4444-555555555555';
    const CLIENT = '66666666-7777-8888-9999-000000000000';
    const authorities = getCACertificates('default');
    let server: ObjectServer;
    let settings: Record<string, string>;
    let tls: { readonly pfx: Buffer; readonly passphrase: string };

    before(async () => {
      const { path } = await findJava(process.env, 17);
      const authority = await makeCertificates(home, path);
      setDefaultCACertificates([...authorities, readFileSync(authority, 'utf8')]);
      tls = { pfx: readFileSync(keyStore(home)), passphrase: KEY_STORE_PASSWORD };
      server = await azureServer({ keyStore: keyStore(home), password: KEY_STORE_PASSWORD });
      const { HEADWATER_AZURE_ACCOUNT_KEY: _, ...others } = server.settings;
      settings = {
        ...others,
        HEADWATER_STORAGE_URL: await server.makeBucket('identity'),
        NODE_EXTRA_CA_CERTS: authority,
      };
    });
    after(async () => {
      setDefaultCACertificates(authorities);
      await server.stop();
    });

    /** The environment of a pod with the label azure.workload.identity/use. */
    async function workload({ assertion = 'token-of-the-pod', busy = false } = {}) {
      const file = join(home, 'token');
      writeFileSync(file, assertion);
      const entra = await opened(
        entraServer({ tenant: TENANT, client: CLIENT, assertion: 'token-of-the-pod' }, tls, { busy }),
      );
      const env = {
        ...settings,
        AZURE_TENANT_ID: TENANT,
        AZURE_CLIENT_ID: CLIENT,
        AZURE_FEDERATED_TOKEN_FILE: file,
        AZURE_AUTHORITY_HOST: `${entra.url}/`,
      };
      return { env, entra };
    }

    async function assertReads([signed, short]: readonly SignedUrl[]): Promise<void> {
      assert.ok(signed && short);
      const url = new URL(signed.url);
      assert.ok(url.searchParams.has('skoid')); // the identity that signs
      const day = 24 * 60 * MINUTE;
      const keyEnds = Date.parse(url.searchParams.get('ske') ?? '') - Date.now();
      assert.ok(
        keyEnds > 6 * day && keyEnds < 7 * day - 10 * MINUTE,
        `the key ends in ${keyEnds / day} days`,
      );
      assert.equal(await (await fetch(url)).text(), 'content');
      assert.equal((await fetch(short.url)).status, 200);
      for (const [name, value] of [
        ['sig', Buffer.alloc(32).toString('base64')],
        ['se', new Date(Date.now() + 86_400_000).toISOString()],
      ] as const) {
        const changed = new URL(url);
        changed.searchParams.set(name, value);
        assert.equal((await fetch(changed)).status, 403, name);
      }
      await until('the short URL to expire', () => Date.now() > short.expiresAt + 1_000);
      assert.equal((await fetch(short.url)).status, 403);
    }

    it('writes as the workload of a pod, and signs URLs by a user delegation key', async () => {
      const { env } = await workload();
      await assertReads(urlsOf(await run(home, env, 3600, 5)));
    });

    it('writes as the managed identity of an App Service, and signs URLs by a user delegation key', async () => {
      const identity = await opened(managedIdentityServer(TENANT, 'header'));
      const env = { ...settings, IDENTITY_ENDPOINT: `${identity.url}/msi/token`, IDENTITY_HEADER: 'header' };
      await assertReads(urlsOf(await run(home, env, 3600, 5)));
    });

    it('writes as the managed identity of a machine, and signs URLs by a user delegation key', async () => {
      const identity = await opened(managedIdentityServer(TENANT, 'header'));
      const env = { ...settings, AZURE_POD_IDENTITY_AUTHORITY_HOST: identity.url };
      await assertReads(urlsOf(await run(home, env, 3600, 5)));
    });

    it('says that Entra refuses the workload', async () => {
      const { env } = await workload({ assertion: 'of-another-pod' });
      const { code, message } = failureOf(await run(home, env, 60));
      assert.equal(code, 'refused', message);
      assert.match(message, /^cannot write https.*AADSTS700211/);
    });

    it('is unavailable while Entra is away', async () => {
      const { env, entra } = await workload();
      await entra.close();
      open.splice(open.indexOf(entra), 1);
      const { code, message } = failureOf(await run(home, env, 60));
      assert.equal(code, 'unavailable', message);
    });

    it('is unavailable while Entra is busy', async () => {
      const { env } = await workload({ busy: true });
      const { code, message } = failureOf(await run(home, env, 60));
      assert.equal(code, 'unavailable', message);
    });

    it('names the setting within seconds when nothing gives an identity', async () => {
      const start = Date.now();
      const { code, message } = failureOf(await run(home, settings, 60));
      assert.equal(code, 'refused', message);
      assert.match(message, /^cannot write https.*HEADWATER_AZURE_ACCOUNT_KEY/);
      assert.ok(Date.now() - start < 20_000, `${Date.now() - start} ms`);
    });
  });
});
