import { parseSettings, storageSettings } from '../../src/config/settings.ts';
import { openStore } from '../../src/storage/open-store.ts';

/*
 * A process that opens the store of its environment as Headwater does, writes an object, and signs a URL for each number of
 * seconds in its parameters. Prints an Outcome as JSON. SDKs read identities and authorities of TLS from the environment at the start.
 */
export interface SignedUrl {
  readonly url: string;
  /** ms since 1970. */
  readonly expiresAt: number;
}

export type Outcome =
  | { readonly urls: readonly SignedUrl[] }
  | { readonly code: unknown; readonly message: string; readonly step: 'write' | 'sign' };

const TYPE = 'application/fhir+ndjson';

async function outcome(): Promise<Outcome> {
  let step: 'write' | 'sign' = 'write';
  try {
    const store = await openStore(storageSettings(parseSettings(process.env, [])));
    const writer = await store.create('job/a', TYPE);
    await writer.write(Buffer.from('content'));
    await writer.finish();
    step = 'sign';
    const urls: SignedUrl[] = [];
    for (const seconds of process.argv.slice(2)) {
      const expiresAt = Date.now() + Number(seconds) * 1000;
      const signed = await store.downloadUrl('job/a', { expiresAt, contentType: TYPE, fileName: 'a' });
      if (signed) urls.push(signed);
    }
    return { urls };
  } catch (error) {
    const { code, message } = error as { code?: unknown; message: string };
    return { code, message, step };
  }
}

if (import.meta.main) console.log(JSON.stringify(await outcome()));
