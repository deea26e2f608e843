import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Recording } from '../../../servers/hapi/recording.ts';

/** What HAPI wrote under one of its settings, as `test/servers/hapi/record.ts` recorded it. */
export function recordingsOf(
  setting: 'versioned' | 'non-versioned' | 'inline' | 'history-off',
): readonly Recording[] {
  return JSON.parse(
    readFileSync(join(import.meta.dirname, 'fixtures', `${setting}.json`), 'utf8'),
  ) as Recording[];
}
