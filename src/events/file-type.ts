/** The media type of a file of an export, by its name. */
export function contentTypeOf(key: string): string {
  return key.endsWith('.gz') ? 'application/fhir+ndjson+gzip' : 'application/fhir+ndjson';
}
