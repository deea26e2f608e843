import { HeadwaterError } from '../base/errors.ts';
import type { ExportParameters, OutputFormat } from '../events/request.ts';
import { parseInstant } from '../fhir/instant.ts';
import { isResourceType } from '../fhir/resource-types.ts';

/** A parameter as it came, from the query or from a Parameters resource. */
export interface RawParameter {
  readonly name: string;
  readonly value: string;
}

const FORMATS: ReadonlyMap<string, OutputFormat> = new Map([
  ['application/fhir+ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['ndjson', 'ndjson'],
  ['application/fhir+ndjson+gzip', 'ndjson+gzip'],
]);

/** Clocks differ: the time of an export just done, by the database's clock, must not be "the future" to this one. */
const CLOCK_TOLERANCE_MS = 60_000;

const KNOWN = ['_type', '_since', '_outputFormat'] as const;

export function parametersOfQuery(search: string): RawParameter[] {
  return [...new URLSearchParams(search)].map(([name, value]) => ({ name, value }));
}

/** Of a Parameters resource; every value must be a primitive that JSON writes as a string. Throws `bad-request`. */
export function parametersOfBody(body: unknown): RawParameter[] {
  if (!isObject(body) || body['resourceType'] !== 'Parameters')
    throw bad('body', 'the body must be a Parameters resource');
  const list = body['parameter'] ?? [];
  if (!Array.isArray(list)) throw bad('parameter', 'Parameters.parameter must be a list');
  return list.map((parameter: unknown) => {
    if (!isObject(parameter) || typeof parameter['name'] !== 'string')
      throw bad('parameter', 'each parameter must have a name');
    const { name } = parameter;
    const values = Object.keys(parameter).filter((key) => key.startsWith('value'));
    const value = values.length === 1 ? parameter[values[0] ?? ''] : undefined;
    // One that is unknown is refused by its name, whatever its value is.
    if (typeof value !== 'string' && isKnown(name))
      throw bad(name, `parameter ${name} must have one value, a string`);
    return { name, value: typeof value === 'string' ? value : '' };
  });
}

/**
 * Checks what was asked for. Throws `bad-request` that names the first thing wrong, and nothing else.
 * @param now ms since 1970
 */
export function parseExportParameters(raw: readonly RawParameter[], now: number): ExportParameters {
  const unknown = raw.find((parameter) => !isKnown(parameter.name));
  if (unknown) {
    throw bad(
      unknown.name,
      `parameter ${quoted(unknown.name)} is not supported; those that are: ${KNOWN.join(', ')}`,
    );
  }
  const format = once(raw, '_outputFormat');
  return {
    types: parseTypes(raw),
    since: parseSince(once(raw, '_since'), now),
    outputFormat: parseFormat(format),
  };
}

/** `a,b` and repeats are the same; order and repetition mean nothing. */
function parseTypes(raw: readonly RawParameter[]): readonly string[] {
  const given = raw.filter((parameter) => parameter.name === '_type');
  if (given.length === 0) return [];
  const types = given.flatMap((parameter) => parameter.value.split(',')).map((type) => type.trim());
  const wrong = types.find((type) => !isResourceType(type));
  // An empty name too: `_type=` must not mean every type.
  if (wrong !== undefined) throw bad('_type', `_type: ${quoted(wrong)} is not a resource type of FHIR R4`);
  return [...new Set(types)];
}

function parseSince(text: string | undefined, now: number): string | undefined {
  if (text === undefined) return undefined;
  const time = parseInstant(text);
  if (time === undefined) {
    throw bad('_since', `_since: ${quoted(text)} is not a FHIR instant, as 2026-01-31T12:00:00.000Z`);
  }
  if (time > now + CLOCK_TOLERANCE_MS) throw bad('_since', `_since: ${quoted(text)} is in the future`);
  return text;
}

function parseFormat(text: string | undefined): OutputFormat {
  if (text === undefined) return 'ndjson';
  const format = FORMATS.get(text.toLowerCase());
  if (!format)
    throw bad('_outputFormat', `_outputFormat: ${quoted(text)} is none of ${[...FORMATS.keys()].join(', ')}`);
  return format;
}

/** The value of a parameter that may be given once. A `+` that was not escaped has become a space; neither value has spaces. */
function once(raw: readonly RawParameter[], name: string): string | undefined {
  const given = raw.filter((parameter) => parameter.name === name);
  if (given.length > 1) throw bad(name, `${name} is given ${String(given.length)} times; once is allowed`);
  return given[0]?.value.trim().replaceAll(' ', '+');
}

function isKnown(name: string): boolean {
  return (KNOWN as readonly string[]).includes(name);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}

function bad(subject: string, message: string): HeadwaterError {
  return new HeadwaterError('bad-request', message, { subject });
}
