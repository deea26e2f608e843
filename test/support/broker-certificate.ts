import { dirname, join } from 'node:path';
import { runOnce } from '../../src/stack/local/run-once.ts';
import { KEY_STORE_PASSWORD, keyStore } from './broker-properties.ts';

/**
 * Makes a certificate authority for the test and the brokers' key store for 127.0.0.1, which it signs. Uses Java's keytool,
 * which exists on every machine that runs a broker. Returns the authority's certificate as a file, for NODE_EXTRA_CA_CERTS.
 */
export async function makeCertificates(folder: string, java: string): Promise<string> {
  const authority = join(folder, 'authority.p12');
  const certificate = join(folder, 'authority.pem');
  const broker = keyStore(folder);
  const request = join(folder, 'broker.csr');
  const signed = join(folder, 'broker.pem');
  const keytool = (store: string, ...parameters: string[]): Promise<void> =>
    runOnce(
      join(dirname(java), 'keytool'),
      [...parameters, '-keystore', store, '-storetype', 'PKCS12', '-storepass', KEY_STORE_PASSWORD],
      { env: process.env, signal: AbortSignal.timeout(60_000), failure: 'keytool failed' },
    );
  const key = ['-genkeypair', '-keyalg', 'EC', '-groupname', 'secp256r1', '-validity', '2'];
  await keytool(authority, ...key, '-alias', 'authority', '-dname', 'CN=Authority of a test', '-ext', 'bc:c');
  await keytool(authority, '-exportcert', '-rfc', '-alias', 'authority', '-file', certificate);
  await keytool(broker, ...key, '-alias', 'broker', '-dname', 'CN=Broker of a test');
  await keytool(broker, '-certreq', '-alias', 'broker', '-file', request);
  const names = ['-ext', 'san=ip:127.0.0.1,dns:localhost'];
  const sign = ['-gencert', '-rfc', '-alias', 'authority', '-validity', '2', ...names];
  await keytool(authority, ...sign, '-infile', request, '-outfile', signed);
  await keytool(broker, '-importcert', '-noprompt', '-alias', 'authority', '-file', certificate);
  await keytool(broker, '-importcert', '-noprompt', '-alias', 'broker', '-file', signed);
  return certificate;
}
