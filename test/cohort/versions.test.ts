import assert from 'node:assert/strict';
import { lsn, offset, stamp } from '../../src/base/positions.ts';
import { versionsOf } from '../../src/cohort/versions.ts';
import type { ResourceChange } from '../../src/events/resource-change.ts';
import { RELATIVE_REFERENCES } from '../../src/fhir/reference.ts';
import type { RecordBatch } from '../../src/log/log.ts';
import { partitionOf } from '../../src/log/partition-of.ts';
import { batchOf } from './log-record.ts';
import type { LogRecord } from './log-record.ts';

const PARTITIONS = 4;
const BATCH = 10;

/** A log of Groups: each of 12 is replaced once a day for a year. */
class YearOfGroups {
  readonly #partitions: LogRecord[][] = Array.from({ length: PARTITIONS }, () => []);
  recordsRead = 0;

  constructor() {
    for (let day = 1; day <= 365; day++)
      for (let group = 0; group < 12; group++) {
        const key = `Group/g${String(group)}`;
        const records = this.#partitions[partitionOf(Buffer.from(key), PARTITIONS)] ?? assert.fail();
        const value = Buffer.alloc(4);
        value.writeUInt32BE(day);
        records.push({ offset: records.length, key, stamp: day, value, about: undefined });
      }
  }

  get ends() {
    return this.#partitions.map(({ length }) => offset(length));
  }

  decodeChange(value: Buffer): ResourceChange {
    const day = value.readUInt32BE();
    return {
      ...{ operation: 'update', stamp: stamp(day), lsn: lsn(0n), versionId: String(day), lastUpdated: null },
      ...{ oversizeBytes: null, problem: null, patients: [], leftPatients: [], body: null },
    };
  }

  async *readBackward(range: {
    readonly partition: number;
    readonly to: number;
  }): AsyncIterable<RecordBatch> {
    const records = (this.#partitions[range.partition] ?? []).slice(0, range.to);
    for (let end = records.length; end > 0; end -= BATCH) {
      const batch = records.slice(Math.max(0, end - BATCH), end);
      this.recordsRead += batch.length;
      yield await Promise.resolve(batchOf(batch));
    }
  }

  async versions(id: string, before: number | undefined): Promise<readonly (string | null | undefined)[]> {
    this.recordsRead = 0;
    const log = {
      ...{ reader: this, decodeChange: (value: Buffer) => this.decodeChange(value) },
      ...{ topicOf: (type: string) => type, references: RELATIVE_REFERENCES },
    };
    const wanted = { type: 'Group', ids: [id], ends: this.ends, before };
    const found = (await versionsOf(log, wanted, new AbortController().signal)).get(id);
    return [found?.now?.versionId, found?.before?.versionId];
  }
}

describe('versions of resources', () => {
  const year = new YearOfGroups();

  it('of the present cost a read of the end of one partition, whatever the age of the log', async () => {
    for (let group = 0; group < 12; group++) {
      assert.deepEqual(await year.versions(`g${String(group)}`, undefined), ['365', undefined]);
      assert.ok(year.recordsRead <= 2 * BATCH, `${String(year.recordsRead)} records`);
    }
  });

  it('of the day before cost two ends, and of a year ago one partition', async () => {
    assert.deepEqual(await year.versions('g3', 364), ['365', '364']);
    assert.ok(year.recordsRead <= 3 * BATCH, `${String(year.recordsRead)} records`);
    const [most = 0] = year.ends.map(Number).sort((a, b) => b - a);
    assert.deepEqual(await year.versions('g3', 1), ['365', '1']);
    assert.ok(year.recordsRead <= most);
    assert.deepEqual(await year.versions('g3', 0), ['365', undefined]);
    assert.ok(year.recordsRead <= most, 'its other versions are in no other partition');
  });

  it('that are not there are looked for everywhere', async () => {
    assert.deepEqual(await year.versions('none', undefined), [undefined, undefined]);
    assert.equal(year.recordsRead, 12 * 365);
  });
});
