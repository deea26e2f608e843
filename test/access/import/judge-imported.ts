import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accessFileOf } from '../../../src/access/import/imported.ts';
import type { Imported } from '../../../src/access/import/imported.ts';
import { HeadwaterError } from '../../../src/base/errors.ts';
import { testAccess } from '../../../src/main/access-test.ts';

export const PATIENT =
  '{ resourceType: Patient, id: p1, name: [{ family: Planted }], telecom: [{ system: phone, value: "9876543" }], address: [{ state: CA, line: [Elm] }] }';
export const OBSERVATION =
  '{ resourceType: Observation, id: o1, status: final, subject: { reference: Patient/p1 } }';
export const PRACTITIONER = '{ resourceType: Practitioner, id: d1 }';

/** Judges resources by what was imported. */
export async function holds(imported: Imported, ...cases: readonly string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'headwater-access-import-'));
  try {
    const [file, path] = [join(folder, 'access.yaml'), join(folder, 'cases.yaml')];
    await writeFile(join(folder, 'fire-arrow'), 'a key of the tests that is long enough');
    await writeFile(file, accessFileOf(imported));
    await writeFile(path, `cases:\n${cases.map((one) => `  - { name: a case, ${one} }\n`).join('')}`);
    const results = await testAccess({ file, keysFolder: folder }, path);
    assert.equal(results.length, cases.length);
    assert.deepEqual(
      results.flatMap(({ problems }) => problems),
      [],
    );
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Returns the message with which an import is refused. */
export function refusedAs(work: () => Imported): string {
  let message = '';
  assert.throws(
    () => accessFileOf(work()),
    (error) => {
      message = (error as Error).message;
      return error instanceof HeadwaterError && error.code === 'bad-request';
    },
  );
  return message;
}
