export const FHIR_JSON = 'application/fhir+json';
export const JSON_TYPES: readonly string[] = [FHIR_JSON, 'application/json', 'text/json'];
/** The values of `_format`. A `+` that was not escaped counts as one. */
export const FORMAT_VALUES: readonly string[] = ['json', ...JSON_TYPES];
