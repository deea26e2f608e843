import assert from 'node:assert/strict';
import pg from 'pg';
import { probeKafka } from '../../src/stack/ready.ts';
import { sharedStack } from '../support/stack.ts';

describe('the running stack', () => {
  it('has a PostgreSQL that decodes its log', async () => {
    const client = new pg.Client({ connectionString: sharedStack().postgresUrl });
    await client.connect();
    try {
      const { rows } = await client.query<Record<string, string>>(
        `SELECT current_setting('wal_level') AS level, current_setting('track_commit_timestamp') AS stamps`,
      );
      assert.deepEqual(rows, [{ level: 'logical', stamps: 'on' }]);
    } finally {
      await client.end();
    }
  });

  it('has a Kafka with a live broker', async () => {
    for (const broker of sharedStack().kafkaBrokers) await probeKafka(broker);
  });

  it('has a schema registry with the Confluent API', async () => {
    const response = await fetch(`${sharedStack().registryUrl}/subjects`);
    assert.equal(response.status, 200);
    assert.ok(Array.isArray(await response.json()));
  });
});
