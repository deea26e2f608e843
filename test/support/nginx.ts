import { createHash } from 'node:crypto';
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { headwaterDirectory } from '../../src/stack/contract.ts';
import { runOnce } from '../../src/stack/local/run-once.ts';
import { freePort } from '../../src/stack/ports.ts';
import { StoreProcess } from './store-process.ts';
import type { StoreCommand } from './store-process.ts';

const FOLDER = join(headwaterDirectory, 'tools', 'nginx-debian');
const LIMIT_MS = 120_000;

/** Returns why there is no nginx on this machine; undefined if there is. It comes from Debian's package, which is not installed. */
export async function prepareNginx(): Promise<string | undefined> {
  if (program() !== undefined) return undefined;
  mkdirSync(FOLDER, { recursive: true });
  const how = { env: process.env, cwd: FOLDER, signal: AbortSignal.timeout(LIMIT_MS) };
  try {
    await runOnce('apt-get', ['download', 'nginx'], { ...how, failure: 'apt-get cannot download nginx' });
    for (const file of globSync('nginx_*.deb', { cwd: FOLDER }))
      await runOnce('dpkg', ['-x', file, 'root'], { ...how, failure: 'dpkg cannot unpack nginx' });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return program() === undefined ? 'its package holds no usr/sbin/nginx' : undefined;
}

/** A running nginx, with TLS. */
export interface Nginx {
  /** `https://127.0.0.1:PORT` */
  readonly url: string;
  /** The certificate that its clients have to trust. */
  readonly certificate: string;
  stop(): Promise<void>;
}

/** @param server a server block as an operator writes it; the test's are only the names of certificate and key, and the port */
export async function startNginx(server: string): Promise<Nginx> {
  const [port, ready] = [await freePort(), await freePort()];
  const pair = await selfSigned();
  const block = server
    .replace(/listen 443 ssl;/, `listen 127.0.0.1:${port} ssl;`)
    .replace(/ssl_certificate .*;/, `ssl_certificate ${pair}.pem;`)
    .replace(/ssl_certificate_key .*;/, `ssl_certificate_key ${pair}.key;`);
  const command = (folder: string): StoreCommand => {
    const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${join(folder, name)};`,
    );
    const answering = `server { listen 127.0.0.1:${ready}; return 204; }`;
    const file = join(folder, 'nginx.conf');
    writeFileSync(
      file,
      `daemon off; pid ${join(folder, 'pid')}; error_log stderr; events {}
      http { access_log off; ${places.join(' ')} ${answering} ${block} }`,
    );
    return { file: program() ?? 'nginx', parameters: ['-p', folder, '-c', file, '-e', 'stderr'] };
  };
  const process = await StoreProcess.start(command, `http://127.0.0.1:${ready}/`);
  return {
    url: `https://127.0.0.1:${port}`,
    certificate: readFileSync(`${pair}.pem`, 'utf8'),
    stop: () => process.stop(),
  };
}

/** Makes a certificate for 127.0.0.1. Returns the path of certificate and key, without their endings. */
async function selfSigned(): Promise<string> {
  const name = join(
    FOLDER,
    `localhost-${createHash('sha256').update(String(process.pid)).digest('hex').slice(0, 8)}`,
  );
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  const key = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-keyout',
    `${name}.key`,
  ];
  await runOnce('openssl', ['req', '-x509', '-days', '2', ...key, '-out', `${name}.pem`, ...subject], {
    env: process.env,
    signal: AbortSignal.timeout(LIMIT_MS),
    failure: 'openssl makes no certificate',
  });
  return name;
}

function program(): string | undefined {
  const [found] = globSync('root/usr/sbin/nginx', { cwd: FOLDER });
  return found === undefined ? undefined : join(FOLDER, found);
}
