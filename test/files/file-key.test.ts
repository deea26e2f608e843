import assert from 'node:assert/strict';
import { fileKey } from '../../src/files/file-key.ts';
import { checkKey } from '../../src/storage/object-key.ts';

describe('the name of a file', () => {
  const task = { folder: 'f', taskId: '0012', outputFormat: 'ndjson', layout: 'flat' } as const;

  it('has the type, the number of the task and its own number', () => {
    assert.equal(fileKey(task, 'output', 'Patient', 3), 'f/Patient-001200003.ndjson');
    assert.equal(fileKey(task, 'deleted', 'Patient', 1), 'f/deleted-Patient-001200001.ndjson');
    const gzip = { ...task, outputFormat: 'ndjson+gzip' } as const;
    assert.equal(fileKey(gzip, 'error', 'Patient', 1), 'f/error-Patient-001200001.ndjson.gz');
  });

  it('stands in a folder of its type with the layout of Hive, and other kinds where Spark reads nothing', () => {
    const hive = { ...task, layout: 'hive' } as const;
    assert.equal(fileKey(hive, 'output', 'Patient', 3), 'f/type=Patient/Patient-001200003.ndjson');
    assert.equal(
      fileKey(hive, 'deleted', 'Patient', 1),
      'f/_deleted/type=Patient/deleted-Patient-001200001.ndjson',
    );
    assert.equal(
      checkKey(fileKey(hive, 'error', 'Patient', 1)),
      'f/_error/type=Patient/error-Patient-001200001.ndjson',
    );
  });

  it('is of one task and one file only', () => {
    const names = ['0001', '0010', '1000', '10000', '10001'].flatMap((taskId) =>
      [1, 9, 10, 99_999].map((n) => fileKey({ ...task, taskId }, 'output', 'Patient', n)),
    );
    assert.equal(new Set(names).size, names.length);
  });

  it('ends at the number that a task cannot reach with sensible sizes', () => {
    assert.throws(() => fileKey(task, 'output', 'Patient', 100_000), {
      code: 'limit',
      message: /HEADWATER_FILE_BYTES/,
    });
  });
});
