/** Files as plain NDJSON, or gzip-compressed in the store. */
export type OutputFormat = 'ndjson' | 'ndjson+gzip';

/** The level of an export: a group, patients (all, or the named ones), or everything. */
export type ExportLevel = 'system' | 'patient' | 'group';

/**
 * The Provenance resources that come along: of everything in scope (the guide's default), or only those of the resources
 * returned, all of them or the latest of each (`includeAssociatedData`).
 */
export type ProvenanceMode = 'in-scope' | 'relevant' | 'latest';

/** A client's request, as parsed and checked at the kick-off. Instants stay as the client wrote them. */
export interface ExportParameters {
  readonly level: ExportLevel;
  /** Id of the Group at group level. */
  readonly group: string | undefined;
  /** Ids of patients to restrict a patient or group export to; empty = every patient of the level. */
  readonly patients: readonly string[];
  /** Resource types to return; empty = every type of the level that the log holds. */
  readonly types: readonly string[];
  /** Whether Binary is one of every type. */
  readonly binary: boolean;
  /** FHIR instants; undefined for everything. */
  readonly since: string | undefined;
  readonly until: string | undefined;
  readonly outputFormat: OutputFormat;
  /** Search queries as `Type?query`, one each; those of a type are alternatives. */
  readonly typeFilters: readonly string[];
  /** `Type.element` or `element`; empty = whole resources. */
  readonly elements: readonly string[];
  readonly provenance: ProvenanceMode;
  /** Resource type whose instances the output is grouped by. */
  readonly organizeBy: string | undefined;
  /** Whether the client follows a manifest's `link`. */
  readonly partialManifests: boolean;
  /** Whether the status of the export is in a separate header, so that the HTTP status is only about the request for it. */
  readonly separateStatus: boolean;
  /** The configured folder, bucket or container in which the folder of the job is created. */
  readonly container: string | undefined;
  /** Name of the configuration of the access file that de-identifies the resources. */
  readonly deidentify: string | undefined;
  /** sha256 that the client expects of that configuration. Only the kick-off needs it. */
  readonly deidentifyEtag?: string | undefined;
  /** One sentence for each thing that lenient handling ignored. */
  readonly warnings: readonly string[];
}

/** A system export of everything. */
export const EVERYTHING: ExportParameters = {
  level: 'system',
  group: undefined,
  patients: [],
  types: [],
  binary: true,
  since: undefined,
  until: undefined,
  outputFormat: 'ndjson',
  typeFilters: [],
  elements: [],
  provenance: 'in-scope',
  organizeBy: undefined,
  partialManifests: false,
  separateStatus: false,
  container: undefined,
  deidentify: undefined,
  warnings: [],
};

/** The limits that the roles of a client set to its exports, the greatest of its roles; undefined = as the settings say. */
export interface JobLimitsOfRole {
  /** Unfinished exports at a time. */
  readonly maxUnfinished?: number | undefined;
  /** Exports in 24 hours. */
  readonly perDay?: number | undefined;
  /** ms that files are kept after the end of an export. */
  readonly retentionMs?: number | undefined;
}
