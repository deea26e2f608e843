import { gunzipSync } from 'node:zlib';
import { HeadwaterError } from '../../../base/errors.ts';
import type { SourceRow } from '../source-row.ts';
import type { ZoneClock } from './local-time.ts';
import { sourceOf } from './render.ts';
import type { HapiExtra } from './render.ts';
import type { ResourceRow, VersionRow } from './rows.ts';

/** HAPI writes the files of its own export as Binary resources with this extension in their meta. */
const OWN_EXPORT = 'bulk-export-job-id';

/** How rows of HAPI become rows of resources. */
export interface HapiReading {
  readonly clock: ZoneClock;
  readonly follows: (resource: Pick<ResourceRow, 'type' | 'partition'>) => boolean;
}

/**
 * The time of a current version is the resource's: a rewrite of history changes no other.
 *
 * @param labels the labels of the version as JSON; null if the body holds them
 */
export function versionAsRow(
  resource: Pick<ResourceRow, 'type' | 'id' | 'partition' | 'version' | 'updated'>,
  version: VersionRow,
  labels: string | null,
  { clock, follows }: HapiReading,
): SourceRow {
  const body = bodyOf(version);
  const updated = resource.version === version.version ? resource.updated : version.updated;
  const at = updated === null ? undefined : clock.read(updated);
  const extra: HapiExtra = {
    instant: at?.instant ?? null,
    source: sourceOf(version.sourceUri, version.requestId),
    labels,
  };
  return {
    type: resource.type,
    id: resource.id,
    version: version.version,
    lastUpdated: at?.time ?? null,
    body,
    deleted: version.deleted || !follows(resource) || isOwnExport(resource.type, body),
    extra,
  };
}

/** A row of a resource of which only its name is known. */
export function lostRow(
  { type, id, version, partition }: Pick<ResourceRow, 'type' | 'id' | 'version' | 'partition'>,
  { follows }: HapiReading,
): SourceRow {
  const deleted = !follows({ type, partition });
  return { type, id, version, lastUpdated: null, body: null, deleted, lost: true };
}

function isOwnExport(type: string, body: Buffer | null): boolean {
  return type === 'Binary' && body !== null && body.includes(OWN_EXPORT);
}

/** Returns null where the body is outside of the database, or there is none. Throws `corrupt`. */
function bodyOf({ body, largeObject, encoding }: VersionRow): Buffer | null {
  if (body !== null) return body;
  if (largeObject === null) return null;
  const bytes = Buffer.from(largeObject, 'base64');
  if (encoding !== 'JSONC') return bytes;
  try {
    return gunzipSync(bytes);
  } catch (cause) {
    throw new HeadwaterError('corrupt', 'a large object of hfj_res_ver is not gzip', { cause });
  }
}
