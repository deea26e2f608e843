import { GoogleAuth, JWT } from 'google-auth-library';
import { AsyncLocalStorage } from 'node:async_hooks';

const STORAGE = 'https://www.googleapis.com/auth/devstorage.read_write';
/** IAM Credentials, which signs for a workload, takes tokens of this scope only. */
const PLATFORM = 'https://www.googleapis.com/auth/cloud-platform';

/** Objects have no project. Without one the SDK runs gcloud and asks servers for it, which some workloads may not do. */
export const PROJECT = 'headwater';

/**
 * The identity that signs requests and URLs. A service account with its private key signs both itself, which saves requests. Any other
 * identity fetches tokens, and IAM Credentials signs its URLs.
 */
export class GcsAuth extends GoogleAuth {
  readonly #signatures = new AsyncLocalStorage<{ failure?: unknown }>();

  static ofServiceAccount(email: string, key: string): GcsAuth {
    const account = new JWT({ email, key, scopes: [STORAGE] });
    account.useJWTAccessWithScope = true;
    const auth = new GcsAuth({ authClient: account, projectId: PROJECT });
    auth.jsonContent = { client_email: email, private_key: key }; // the signer of URLs looks there
    return auth;
  }

  /** Google's application default credentials: of a file, of a login, or of the machine. */
  static ofWorkload(): GcsAuth {
    const auth = new GcsAuth({ scopes: [PLATFORM, STORAGE], projectId: PROJECT });
    auth.useJWTAccessWithScope = true;
    return auth;
  }

  override async sign(data: string, endpoint?: string): Promise<string> {
    try {
      return await super.sign(data, endpoint);
    } catch (error) {
      const signature = this.#signatures.getStore();
      if (signature) signature.failure = error;
      throw error;
    }
  }

  /** Lets the SDK sign. Throws the failure itself, where the SDK throws its message only. */
  async signing<T>(work: () => Promise<T>): Promise<T> {
    const signature: { failure?: unknown } = {};
    try {
      return await this.#signatures.run(signature, work);
    } catch (error) {
      throw signature.failure ?? error;
    }
  }
}
