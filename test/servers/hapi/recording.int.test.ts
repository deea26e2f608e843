import assert from 'node:assert/strict';
import { recordingsOf } from '../../capture/presets/hapi/fixtures.ts';
import { sharedStack } from '../../support/stack.ts';
import { createDatabase } from './hapi-database.ts';
import type { HapiDatabase } from './hapi-database.ts';
import { HapiServer } from './hapi-server.ts';
import { ALL } from './operations.ts';
import { orderOf, record } from './recording.ts';
import type { Recording } from './recording.ts';

/** HAPI runs this one as a job, which takes a minute. */
const SLOW = 'delete with _expunge';

describe('a new recording of HAPI', function () {
  this.timeout(900_000);
  let database: HapiDatabase;
  let server: HapiServer;

  before(async () => {
    database = await createDatabase(sharedStack().postgresUrl);
    server = await HapiServer.start({ databaseUrl: database.url });
  });

  after(async () => {
    await server.stop();
    await database.remove();
  });

  it('has the tables and the order of the stored one', async () => {
    const operations = ALL.filter(({ name }) => name !== SLOW);
    const stored = recordingsOf('versioned').filter(({ name }) => name !== SLOW);
    const recorded = await record(server, database.client, operations);
    assert.deepEqual(recorded.map(essence), stored.map(essence));
  });
});

/** An expunge takes versions in any order, and those of deletes have no tags. */
function essence(recording: Recording): object {
  const order = orderOf(recording);
  const anyOrder = order.map((kinds) => [...new Set(kinds.split(', '))].sort());
  return { name: recording.name, order: recording.name.startsWith('$expunge') ? anyOrder : order };
}
