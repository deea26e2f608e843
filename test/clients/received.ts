import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

/** Content of a folder of NDJSON files. */
export interface Received {
  /** `Type/id` to its line. */
  readonly resources: ReadonlyMap<string, string>;
  /** `Type/id` of each deletion: entries of the Bundles that `deleted` consists of. */
  readonly deleted: ReadonlySet<string>;
}

interface Line {
  readonly resourceType: string;
  readonly id: string;
  readonly entry?: readonly { readonly request: { readonly method: string; readonly url: string } }[];
}

/** Every `*.ndjson` and `*.ndjson.gz` below a folder. Throws when a resource is there twice. */
export async function receivedIn(directory: string): Promise<Received> {
  const names = await readdir(directory, { recursive: true });
  const resources = new Map<string, string>();
  const deleted = new Set<string>();
  for (const name of names.filter((one) => /(?<!^log)\.ndjson(\.gz)?$/.test(one))) {
    for (const line of await linesOf(join(directory, name))) {
      const { resourceType, id, entry } = JSON.parse(line) as Line;
      if (resourceType === 'Bundle' && entry) {
        for (const { request } of entry) deleted.add(request.url);
        continue;
      }
      const key = `${resourceType}/${id}`;
      assert.ok(!resources.has(key), `${key} was received twice`);
      resources.set(key, line);
    }
  }
  return { resources, deleted };
}

async function linesOf(path: string): Promise<string[]> {
  const content = await readFile(path);
  const text = (path.endsWith('.gz') ? gunzipSync(content) : content).toString();
  return text.split('\n').filter((line) => line !== '');
}
