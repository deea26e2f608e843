import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair, SignJWT, exportJWK } from 'jose';
import type { CryptoKey, JWK } from 'jose';
import { randomUUID } from 'node:crypto';
import { Access } from '../../src/access/access.ts';
import type { AccessOptions } from '../../src/access/access.ts';

export const SECRET = 'a secret of the tests that signs nothing else';
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** A client of the embedded issuer with a key pair of its own. */
export class TestClient {
  readonly id: string;
  readonly kid = randomUUID();
  readonly algorithm: 'RS384' | 'ES384';
  readonly #pair: { privateKey: CryptoKey; publicKey: CryptoKey };

  private constructor(
    id: string,
    algorithm: 'RS384' | 'ES384',
    pair: { privateKey: CryptoKey; publicKey: CryptoKey },
  ) {
    this.id = id;
    this.algorithm = algorithm;
    this.#pair = pair;
  }

  static async make(id: string, algorithm: 'RS384' | 'ES384' = 'ES384'): Promise<TestClient> {
    return new TestClient(id, algorithm, await generateKeyPair(algorithm, { extractable: true }));
  }

  get privateKey(): CryptoKey {
    return this.#pair.privateKey;
  }

  async publicKey(): Promise<JWK> {
    return { ...(await exportJWK(this.#pair.publicKey)), kid: this.kid };
  }

  async jwks(): Promise<{ keys: JWK[] }> {
    return { keys: [await this.publicKey()] };
  }

  /** As Inferno makes it: without `iat`, good for 5 minutes. Claims and header may be replaced; undefined removes one. */
  async assertion(
    audience: string,
    { claims = {}, header = {} }: { readonly claims?: object; readonly header?: object } = {},
  ): Promise<string> {
    const exp = Math.floor(Date.now() / 1_000) + 300;
    const payload = { iss: this.id, sub: this.id, aud: audience, exp, jti: randomUUID(), ...claims };
    return new SignJWT(JSON.parse(JSON.stringify(payload)) as object as Record<string, unknown>)
      .setProtectedHeader({ alg: this.algorithm, kid: this.kid, typ: 'JWT', ...header })
      .sign(this.#pair.privateKey);
  }
}

/** The form of a request for a token. */
export function tokenForm(assertion: string, scope = 'system/*.rs'): URLSearchParams {
  return new URLSearchParams({
    grant_type: 'client_credentials',
    client_assertion_type: ASSERTION_TYPE,
    client_assertion: assertion,
    scope,
  });
}

/** Access by a file of these contents, in a folder of its own. */
export async function accessOf(
  content: object,
  options: Partial<AccessOptions> & { readonly baseUrl: string },
): Promise<{ readonly access: Access; readonly path: string }> {
  const path = join(await mkdtemp(join(tmpdir(), 'headwater-access-')), 'access.json');
  await writeFile(path, JSON.stringify(content));
  const used = new Set<string>();
  const access = await Access.open({
    file: path,
    secret: SECRET,
    used: {
      use: (client, jti) => {
        const key = `${client} ${jti}`;
        const first = !used.has(key);
        used.add(key);
        return Promise.resolve(first);
      },
    },
    clock: Date.now,
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    ...options,
  });
  return { access, path };
}
