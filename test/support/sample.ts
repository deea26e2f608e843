import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const SAMPLE = join(import.meta.dirname, '..', '..', 'data', 'synthea-10');

/** The lines of the bundled patients' resources, by type. */
export function sampleLines(): ReadonlyMap<string, readonly string[]> {
  const files = readdirSync(SAMPLE).filter((name) => name.endsWith('.gz'));
  return new Map(
    files.map((file) => {
      const text = gunzipSync(readFileSync(join(SAMPLE, file))).toString();
      return [file.split('.')[0] ?? '', text.split('\n').filter(Boolean)];
    }),
  );
}
