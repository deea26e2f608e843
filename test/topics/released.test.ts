import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { allTopics } from '../../topics/all.ts';
import { avroType } from '../../src/events/avro.ts';
import type { AvroSchema } from '../../topics/avro-schema.ts';

const FOLDER = join(import.meta.dirname, '../../topics/released');

/** Released schemas of a subject by version, oldest first. */
function released(subject: string): AvroSchema[] {
  return readdirSync(FOLDER)
    .map((file) => ({ file, match: /^(.+)\.(\d+)\.avsc$/.exec(file) }))
    .filter(({ match }) => match?.[1] === subject)
    .sort((a, b) => Number(a.match?.[2]) - Number(b.match?.[2]))
    .map(({ file }) => JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as AvroSchema);
}

describe('the schemas in topics/', () => {
  for (const [subject, schema] of new Map(allTopics.map((topic) => [topic.subject, topic.schema]))) {
    it(`of ${subject} read everything that released versions wrote`, () => {
      const versions = released(subject);
      assert.ok(versions.length > 0, `topics/released/ holds no schema of ${subject}`);
      const reader = avroType(schema);
      for (const version of versions) reader.createResolver(avroType(version));
    });

    it(`of ${subject} are released: the newest copy equals the declaration`, () => {
      assert.deepEqual(
        JSON.parse(JSON.stringify(schema)),
        released(subject).at(-1),
        `write the changed schema to topics/released/${subject}.<next version>.avsc`,
      );
    });
  }

  it('belong to topics that take any timestamp, where capture writes: a clock that is ahead stops nothing', () => {
    const settings = { resourcePartitions: 1, replicationFactor: 1, compactionLagMs: 900_000 };
    for (const topic of allTopics.filter(({ writers }) => writers.includes('capture')))
      assert.equal(
        topic.config(settings)['message.timestamp.after.max.ms'],
        '9223372036854775807',
        topic.name,
      );
  });

  it('would be caught when they could not read an older version', () => {
    const [older] = released('status');
    assert.ok(older);
    const changed = JSON.parse(
      JSON.stringify(older).replace('"name":"fraction"', '"name":"share"'),
    ) as AvroSchema;
    assert.throws(
      () => avroType(changed).createResolver(avroType(older)),
      /cannot read "headwater.TaskProgressed"/,
    );
  });
});
