import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { HeadwaterError } from '../../../base/errors.ts';

export interface SaslOptions {
  readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';
  readonly username: string;
  readonly password: string;
}

/** Sends a message of ours, resolves to the server's answer. */
type Exchange = (message: Buffer) => Promise<Buffer>;

const derive = promisify(pbkdf2);
const LEAST_ITERATIONS = 4096;

/** Logs in by PLAIN (RFC 4616) or SCRAM (RFC 5802), which also authenticates the server. Throws `bad-config`. */
export async function authenticate(
  options: SaslOptions,
  exchange: Exchange,
  nonce = randomBytes(18).toString('base64'),
): Promise<void> {
  const { mechanism, username, password } = options;
  if (mechanism === 'PLAIN') {
    await exchange(Buffer.from(`\0${username}\0${password}`));
    return;
  }
  const hash = mechanism === 'SCRAM-SHA-256' ? 'sha256' : 'sha512';
  const firstBare = `n=${username.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`;
  const serverFirst = (await exchange(Buffer.from(`n,,${firstBare}`))).toString();
  const { r: bothNonces = '', s: salt = '', i: iterations = '' } = fieldsOf(serverFirst);
  if (!bothNonces.startsWith(nonce) || bothNonces === nonce) throw impostor('repeats no nonce of ours');
  if (!(Number(iterations) >= LEAST_ITERATIONS)) throw impostor(`asks for "${iterations}" iterations only`);
  const salted = await derive(
    password.normalize('NFKC'),
    Buffer.from(salt, 'base64'),
    Number(iterations),
    hash === 'sha256' ? 32 : 64,
    hash,
  );
  const hmac = (key: Buffer, text: string): Buffer => createHmac(hash, key).update(text).digest();
  const finalBare = `c=${Buffer.from('n,,').toString('base64')},r=${bothNonces}`;
  const said = `${firstBare},${serverFirst},${finalBare}`;
  const clientKey = hmac(salted, 'Client Key');
  const signature = hmac(createHash(hash).update(clientKey).digest(), said);
  const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] ?? 0)));
  const serverFinal = await exchange(Buffer.from(`${finalBare},p=${proof.toString('base64')}`));
  const expected = hmac(hmac(salted, 'Server Key'), said);
  const given = Buffer.from(fieldsOf(serverFinal.toString()).v ?? '', 'base64');
  if (given.length !== expected.length || !timingSafeEqual(given, expected))
    throw impostor('does not know the password');
}

function fieldsOf(message: string): Partial<Record<string, string>> {
  return Object.fromEntries(message.split(',').map((field) => [field.slice(0, 1), field.slice(2)]));
}

function impostor(why: string): HeadwaterError {
  return new HeadwaterError('bad-config', `the Kafka broker ${why}; check HEADWATER_KAFKA_BROKERS`);
}
