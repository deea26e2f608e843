import assert from 'node:assert/strict';
import type { Exported } from '../faults/exported.ts';

/** I3: the earlier export with the changes since then is the later one. */
export function assertComposes(earlier: Exported, { output, deleted }: Exported, later: Exported): void {
  const composed = new Map([...earlier.output, ...output].filter(([key]) => !deleted.has(key)));
  assert.deepEqual(new Map([...composed].sort()), new Map([...later.output].sort()));
}
