import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BulkClient, ClientRequest } from './bulk-client.ts';
import { receivedIn } from './received.ts';
import type { Received } from './received.ts';

/** Lets the client export into a folder of its own. Resolves to what it wrote. */
export async function exportBy(
  client: BulkClient,
  request: Omit<ClientRequest, 'directory'>,
): Promise<Received> {
  const directory = await mkdtemp(join(tmpdir(), 'headwater-client-'));
  try {
    await client.export({ ...request, directory });
    assert.notEqual((await readdir(directory)).length, 0, 'it wrote something');
    return await receivedIn(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export function assertSame(received: ReadonlyMap<string, string>, wanted: ReadonlyMap<string, string>): void {
  const missing = [...wanted.keys()].filter((key) => !received.has(key));
  const extra = [...received.keys()].filter((key) => !wanted.has(key));
  const other = [...wanted].filter(([key, line]) => received.has(key) && received.get(key) !== line);
  const some = { missing: missing.slice(0, 5), extra: extra.slice(0, 5), other: other.slice(0, 5) };
  assert.deepEqual(some, { missing: [], extra: [], other: [] });
  assert.notEqual(wanted.size, 0);
}
