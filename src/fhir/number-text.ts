/** Stands before the text of a number, so that it equals no string: FHIR's strings hold no such character (R4 datatypes, string). */
const NUMBER = '\u0000';

/** Parses JSON and keeps the text of numbers as strings of their own kind, since 1.10 is not 1.1 (R4 datatypes, decimal). */
export function numbersAsText(json: string): unknown {
  return JSON.parse(json, (_key, value: unknown, context?: { readonly source?: string }) =>
    typeof value === 'number' ? `${NUMBER}${context?.source ?? String(value)}` : value,
  );
}
