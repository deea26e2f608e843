import assert from 'node:assert/strict';
import { allTopics } from '../../topics/all.ts';
import { lsn, offset, stamp } from '../../src/base/positions.ts';
import { liveKeys } from '../../src/capture/live-keys.ts';
import type { Operation } from '../../src/events/resource-change.ts';
import { ResourceChangeCodec } from '../../src/events/resource-change-codec.ts';
import { batchOf } from '../cohort/log-record.ts';

const codec = new ResourceChangeCodec(
  new Map(allTopics.map(({ subject }, i) => [subject, { id: i + 1, writers: new Map() }])),
);

describe('live keys of a partition', () => {
  it('are those whose newest record is no delete, and those whose newest record cannot be read', async () => {
    const value = (operation: Operation): Buffer =>
      codec.encode({
        ...{
          operation,
          stamp: stamp(1),
          lsn: lsn(1n),
          versionId: '7',
          lastUpdated: null,
          oversizeBytes: null,
        },
        ...{ problem: null, patients: ['p'], leftPatients: [], body: null },
      });
    const written: [string, Buffer][] = [
      ['Patient/alive', value('snapshot')],
      ['Patient/gone', value('create')],
      ['Patient/again', value('delete')],
      ['Patient/alive', value('update')],
      ['Patient/again', value('create')],
      ['Patient/gone', value('delete')],
      ['Patient/corrupt', value('update').subarray(0, 9)],
    ];
    const records = written.map(([key, bytes], i) => ({
      ...{ offset: i, key, value: bytes, stamp: 1, about: undefined },
    }));
    const reader = {
      async *readBackward() {
        for (let end = records.length; end > 0; end -= 3) {
          yield batchOf(records.slice(Math.max(0, end - 3), end));
          await Promise.resolve();
        }
      },
    };
    const found = [];
    const place = { topic: 't', partition: 0, to: offset(records.length) };
    const log = { reader, changes: codec };
    for await (const keys of liveKeys(log, place, new AbortController().signal)) found.push(...keys);
    assert.deepEqual(found, [
      { key: 'Patient/corrupt', offset: 6, versionId: null, leftPatients: [], patients: ['*'] },
      { key: 'Patient/again', offset: 4, versionId: '7', leftPatients: [], patients: ['p'] },
      { key: 'Patient/alive', offset: 3, versionId: '7', leftPatients: [], patients: ['p'] },
    ]);
  });
});
