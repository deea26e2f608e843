import assert from 'node:assert/strict';
import { HeadwaterError } from '../../src/base/errors.ts';
import { offset } from '../../src/base/positions.ts';
import { ResourceChangeCodec } from '../../src/events/resource-change-codec.ts';
import type { Task } from '../../src/events/tasks.ts';
import { References } from '../../src/fhir/reference.ts';
import type { LogReader } from '../../src/log/log.ts';
import { runTask } from '../../src/replay/run-task.ts';
import { LogFixture } from '../log/kafka/log-fixture.ts';
import { MemoryStore } from '../cohort/memory-store.ts';

const EMPTY = {
  since: undefined,
  until: undefined,
  scope: undefined,
  typeFilters: [],
  elements: [],
  everyPatient: false,
};

describe('a task whose topic is lost', function () {
  this.timeout(180_000);
  const log = new LogFixture();

  after(() => log.close());

  async function idOf(topic: string): Promise<string> {
    for (;;) {
      const id = (await log.reader.topics([topic])).get(topic)?.id;
      if (id !== undefined) return id;
    }
  }

  /** Reads five records of the topic, which may hold none. */
  function run(topic: string, id: string | undefined, reader: Pick<LogReader, 'readBackward' | 'topics'>) {
    const range = { type: 'Patient', partition: 0, from: offset(0), to: offset(5), gaps: [] };
    const task: Task = {
      ...{ jobId: 'job', taskId: '0001', lane: 'quick', folder: 'f', outputFormat: 'ndjson', layout: 'flat' },
      ...{ ranges: [range], filter: EMPTY, related: undefined, organized: undefined },
      ...{ warnings: [], plannedBytes: 1, topicIds: new Map(id === undefined ? [] : [['Patient', id]]) },
    };
    const references = new References([]);
    const codec = new ResourceChangeCodec(
      new Map([['resources', { id: 1, writers: new Map() }]]),
      references,
    );
    const tools = {
      log: { reader, codec, topicOf: () => topic },
      store: new MemoryStore(),
      references,
      patientsOf: () => Promise.resolve([]),
      fileBytes: 1_000,
    };
    return runTask(task, tools, { signal: AbortSignal.timeout(150_000), onProgress: () => undefined });
  }

  /** A reader during whose first reading something happens. */
  function during(happens: () => Promise<void>, reading: LogReader['readBackward']) {
    return {
      topics: (names: readonly string[]) => log.reader.topics(names),
      readBackward: async function* (...args: Parameters<LogReader['readBackward']>) {
        await happens();
        yield* reading(...args);
      },
    };
  }
  const readIt: LogReader['readBackward'] = (...args) => log.reader.readBackward(...args);

  it('fails by name when the topic is deleted while it is read', async () => {
    const topic = await log.newTopic(1);
    const id = await idOf(topic);
    const reader = during(() => log.deleteTopic(topic), readIt);
    await assert.rejects(run(topic, id, reader), { code: 'gone', subject: topic });
  });

  it('fails by name when the topic is made again while it is read, though all reads went well', async () => {
    const topic = await log.newTopic(1);
    const id = await idOf(topic);
    const reader = during(
      () => log.makeAgain(topic),
      async function* () {},
    );
    await assert.rejects(run(topic, id, reader), { code: 'gone', subject: topic });
  });

  it('fails by name before it reads when the topic was made again', async () => {
    const topic = await log.newTopic(1);
    const reader = during(() => Promise.reject(new Error('it reads')), readIt);
    await assert.rejects(run(topic, 'another', reader), { code: 'gone', subject: topic });
  });

  it('runs without the ids of topics, as older versions have planned it', async () => {
    const topic = await log.newTopic(1);
    const unreachable = new HeadwaterError('unavailable', 'away');
    const reader = during(() => Promise.reject(unreachable), readIt);
    await assert.rejects(run(topic, undefined, reader), unreachable);
  });
});
