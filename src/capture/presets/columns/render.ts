import { asciiJson, withMeta } from '../meta.ts';
import type { MetaMembers } from '../meta.ts';
import type { SourceRow } from '../source-row.ts';
import { instantOf } from '../time.ts';

/** Returns the body with meta.versionId and meta.lastUpdated as the row's columns say; a column without a value leaves the body's. */
export function renderWithColumns({ version, updated }: SourceRow, body: Buffer): Buffer {
  return withMeta(body, columnMeta(version, updated ?? null));
}

/** The members of meta that columns tell. */
export function columnMeta(version: string | null, updated: string | null): MetaMembers {
  const instant = updated === null ? undefined : instantOf(updated);
  return [
    ...(version === null ? [] : ([['versionId', asciiJson(version)]] as const)),
    ...(instant === undefined ? [] : ([['lastUpdated', `"${instant}"`]] as const)),
  ];
}
