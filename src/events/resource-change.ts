import type { Lsn, Stamp } from '../base/positions.ts';

/** `snapshot` is the first load: nothing older of that key can be in the log. */
export type Operation = 'snapshot' | 'create' | 'update' | 'delete';

/**
 * In place of more than `MAX_PATIENTS` patients: of a version with a body, all patients that the body names; otherwise any patient.
 * It is no FHIR id. So a record is bounded whatever its resource names.
 */
export const MANY_PATIENTS = '*';
export const MAX_PATIENTS = 512;

/** The value of a record in `headwater.resources.<Type>`; its key is `Type/id`. Metadata first, the body last and untouched. */
export interface ResourceChange {
  readonly operation: Operation;
  readonly stamp: Stamp;
  readonly lsn: Lsn;
  readonly versionId: string | null;
  /** The source's own lastUpdated, ms since 1970; informative, except under `_since` for what the first load found. */
  readonly lastUpdated: number | null;
  /** Size in bytes of a body that was over the limit and is therefore not here; such a resource is named in `error` files. */
  readonly oversizeBytes: number | null;
  /** Why a resource that lives has no body here: it is named in `error` files. Tells nothing of its content. */
  readonly problem: string | null;
  /** Ids of the patients in whose compartment this version is; for a delete, of the version that was deleted. */
  readonly patients: readonly string[];
  /** Ids of the patients whose compartment this version has left; of a Provenance that belonged to no patient by itself, one empty id. */
  readonly leftPatients: readonly string[];
  /** The resource's JSON as the source holds it; null for a delete or an oversize body. */
  readonly body: Uint8Array | null;
}

/** Whether a version lives and nothing can be told from it, so that its patients are unknown. */
export function isUnread({
  operation,
  body,
  patients,
}: Pick<ResourceChange, 'operation' | 'body' | 'patients'>): boolean {
  return operation !== 'delete' && body === null && patients.length === 0;
}
