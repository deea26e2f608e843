import assert from 'node:assert/strict';
import type { RecordBatch } from '../../src/log/log.ts';

export interface LogRecord {
  readonly offset: number;
  readonly key: string;
  readonly stamp: number;
  readonly value: Buffer;
  /** Patients whose compartment it is in or left. */
  readonly about: readonly string[] | undefined;
}

/** As the reader of the log hands them out. */
export function batchOf(records: readonly LogRecord[]): RecordBatch {
  const starts: number[] = [];
  let at = 0;
  for (const { key, value } of records) {
    starts.push(at);
    at += key.length + value.length;
  }
  const data = Buffer.concat(records.flatMap(({ key, value }) => [Buffer.from(key), value]));
  const record = (i: number): LogRecord => records[i] ?? assert.fail(`there is no record ${i}`);
  const valueStart = (i: number): number => (starts[i] ?? 0) + record(i).key.length;
  return {
    begin: 0,
    end: records.length,
    data,
    offset: (i) => record(i).offset,
    keyText: (i) => record(i).key,
    key: (i) => Buffer.from(record(i).key),
    keyStart: (i) => starts[i] ?? 0,
    keyEnd: valueStart,
    valueStart,
    valueEnd: (i) => valueStart(i) + record(i).value.length,
  };
}
