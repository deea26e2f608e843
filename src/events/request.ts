/** What a client asked for, as parsed and checked at the kick-off. Instants are kept as the client wrote them. */
export interface ExportParameters {
  /** Resource types to return; empty = every type the log holds. */
  readonly types: readonly string[];
  /** FHIR instant, or undefined for everything. */
  readonly since: string | undefined;
  readonly outputFormat: OutputFormat;
}

/** Files as plain NDJSON, or gzip-compressed in the store. */
export type OutputFormat = 'ndjson' | 'ndjson+gzip';
