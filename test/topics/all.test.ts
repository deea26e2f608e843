import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { allTopics } from '../../topics/all.ts';
import { resources } from '../../topics/resources.ts';
import { status } from '../../topics/status.ts';
import { resourceTopicName, topicName } from '../../topics/declaration.ts';
import type { TopicDeclaration } from '../../topics/declaration.ts';

const settings = { resourcePartitions: 8, replicationFactor: 1, compactionLagMs: 900_000 };
const WEEK = 7 * 24 * 3_600_000;

describe('topics/', () => {
  it('declares every topic in the list of all', async () => {
    const folder = join(import.meta.dirname, '../../topics');
    const files = readdirSync(folder).filter((file) => file.endsWith('.ts') && file !== 'all.ts');
    const declared = new Set<TopicDeclaration>();
    for (const file of files) {
      const exported = Object.values((await import(join(folder, file))) as Record<string, unknown>);
      for (const value of exported) if (isDeclaration(value)) declared.add(value);
    }
    assert.deepEqual(new Set(allTopics), declared);
    assert.equal(new Set(allTopics.map(({ name }) => name)).size, allTopics.length);
  });

  it('names topics under the prefix, one for each resource type', () => {
    assert.deepEqual(
      allTopics.map((topic) => topicName('headwater', topic)),
      [
        'headwater.resources.<Type>',
        'headwater.zones',
        'headwater.position',
        'headwater.commands',
        'headwater.tasks.quick',
        'headwater.tasks.bulk',
        'headwater.status',
        'headwater.progress',
        'headwater.exports',
        'headwater.announced',
        'headwater.audit',
        'headwater.disclosures',
      ],
    );
    assert.equal(resourceTopicName('headwater', resources, 'Patient'), 'headwater.resources.Patient');
  });

  it('leaves durability, compression and the clocks of records to no broker', () => {
    for (const topic of allTopics) {
      const config = topic.config({ ...settings, replicationFactor: 3 });
      assert.equal(config['min.insync.replicas'], '2', topic.name);
      assert.equal(config['unclean.leader.election.enable'], 'false', topic.name);
      assert.equal(config['compression.type'], 'producer', topic.name);
      assert.match(config['message.timestamp.type'] ?? '', /^(CreateTime|LogAppendTime)$/, topic.name);
      assert.ok(Number(config['message.timestamp.after.max.ms']) > 1e18, topic.name);
      assert.ok(Number(config['message.timestamp.before.max.ms']) > 1e18, topic.name);
    }
  });

  it('asks for one copy to be written where there are not three', () => {
    for (const replicationFactor of [1, 2]) {
      for (const topic of allTopics)
        assert.equal(
          topic.config({ ...settings, replicationFactor })['min.insync.replicas'],
          '1',
          topic.name,
        );
    }
  });

  it('keeps every version of a resource as long as the longest export takes', () => {
    assert.equal(
      resources.config({ ...settings, compactionLagMs: 129_600_000 })['min.compaction.lag.ms'],
      '129600000',
    );
    assert.ok(
      Number(resources.config(settings, 'Group')['min.compaction.lag.ms']) > 1e18,
      'every version of a Group',
    );
  });

  it('takes the largest resource that is captured, whatever compression adds', () => {
    const bytesFor = (maxResourceBytes?: number): number =>
      Number(
        resources.config({ ...settings, ...(maxResourceBytes !== undefined && { maxResourceBytes }) })[
          'max.message.bytes'
        ],
      );
    assert.equal(bytesFor(), 20 << 20);
    assert.equal(bytesFor(1 << 20), 20 << 20);
    assert.equal(bytesFor(64 << 20), 68 << 20);
  });

  it('keeps the records of a work queue shorter than Kafka keeps the offsets of a group without members', () => {
    for (const topic of allTopics.filter(({ readers }) =>
      readers.some((r) => r === 'planner' || r === 'worker'),
    )) {
      const config = topic.config(settings);
      if (config['cleanup.policy'] !== 'delete') continue;
      assert.ok(Number(config['retention.ms']) + Number(config['segment.ms']) < WEEK, topic.name);
    }
  });

  it('keeps the events of a job longer than the job is remembered', () => {
    const kept = Number(status.config({ ...settings, jobHistoryHours: 90 * 24 })['retention.ms']);
    assert.ok(kept > 100 * 24 * 3_600_000 && Number.isSafeInteger(kept));
    assert.equal(status.config(settings)['retention.ms'], '-1');
  });

  it('gives every topic a reason, a writer and a reader', () => {
    for (const { name, why, writers, readers } of allTopics) {
      assert.ok(why.length > 40 && writers.length > 0 && readers.length > 0, name);
    }
  });
});

function isDeclaration(value: unknown): value is TopicDeclaration {
  return typeof value === 'object' && value !== null && 'writers' in value;
}
