// `node test/servers/hapi/record.ts`: records what HAPI writes for each operation, into test/capture/presets/hapi/fixtures.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startStack } from '../../../src/stack/stack.ts';
import { createDatabase } from './hapi-database.ts';
import { HapiServer } from './hapi-server.ts';
import type { HapiOptions } from './hapi-server.ts';
import { ALL, COMMON } from './operations.ts';
import type { HapiOperation } from './operations.ts';
import { record, textOf } from './recording.ts';

const FIXTURES = join(import.meta.dirname, '..', '..', 'capture', 'presets', 'hapi', 'fixtures');
const RECORDINGS: readonly [string, Omit<HapiOptions, 'databaseUrl'>, readonly HapiOperation[]][] = [
  ['versioned', {}, ALL],
  ['non-versioned', { tags: 'NON_VERSIONED' }, COMMON],
  ['inline', { tags: 'INLINE' }, COMMON],
  ['history-off', { history: false }, COMMON],
];

const stack = await startStack({ purpose: 'tests', report: (line) => console.log(line) });
try {
  for (const [name, options, operations] of RECORDINGS) {
    const database = await createDatabase(stack.addresses.postgresUrl);
    const server = await HapiServer.start({ ...options, databaseUrl: database.url });
    try {
      writeFileSync(
        join(FIXTURES, `${name}.json`),
        textOf(await record(server, database.client, operations)),
      );
      console.log(`Recorded ${name}.json: ${operations.length} operations.`);
    } finally {
      await server.stop();
      await database.remove();
    }
  }
} finally {
  await stack.stop();
}
