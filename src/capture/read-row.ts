import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { HeadwaterError } from '../base/errors.ts';
import { isObject } from '../base/is-object.ts';
import { MANY_PATIENTS, MAX_PATIENTS } from '../events/resource-change.ts';
import { patientsOf } from '../fhir/patient-compartment.ts';
import { isId } from '../fhir/reference.ts';
import type { References } from '../fhir/reference.ts';
import { render } from './presets/render.ts';
import type { Rendering } from './presets/rendering.ts';
import type { SourceRow } from './presets/source-row.ts';

/** The rules for reading rows. */
export interface RowRules {
  /** A larger body is not captured. */
  readonly maxBytes: number;
  readonly references?: References;
  /** How bodies become resources; as they are stored if absent. */
  readonly rendering?: Rendering;
}

export interface ReadRow {
  /** One line; null if the row is not a resource that can be exported. */
  readonly body: Buffer | null;
  readonly oversizeBytes: number | null;
  readonly patients: ReadonlySet<string>;
  /** The reason why there is no body. It holds nothing of the body. */
  readonly problem: string | undefined;
}

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const SPACE = 32;
/** A larger body that is not captured is not parsed either. */
const MAX_PARSED = 64 << 20;

/** Tests that a row is a resource of FHIR R4: the only place that does. Replay relies on it for every record with a body. */
export function readRow(row: SourceRow, rules: RowRules): ReadRow {
  const { body } = row;
  const refused = (problem: string, oversizeBytes: number | null = null): ReadRow => {
    const patients = patientsOfRow(row, rules);
    return { body: null, oversizeBytes, patients, problem };
  };
  if (body === undefined || body === null) return refused('the source row has no body');
  if (body.length > rules.maxBytes) return refused(tooLarge(body, rules), body.length);
  if (!isId(row.id)) return refused('its id is not 1 to 64 letters, digits, - and .');
  if (!isUtf8(body)) return refused('its body is not UTF-8');
  const rendered = renderedOf(row, body, rules);
  if (typeof rendered === 'string') return refused(rendered);
  if (rendered.length > rules.maxBytes) return refused(tooLarge(rendered, rules), rendered.length);
  const resource = parsed(rendered);
  const problem = problemOf(row, resource);
  if (problem !== undefined) return refused(problem);
  const patients = new Set(patientsOf(row.type, row.id, resource, rules.references));
  return { body: oneLine(rendered), oversizeBytes: null, patients, problem: undefined };
}

function tooLarge(body: Buffer, { maxBytes }: RowRules): string {
  return `its ${body.length} bytes are over HEADWATER_MAX_RESOURCE_BYTES (${maxBytes})`;
}

/** Returns the resource, or the reason why the body cannot be read. */
function renderedOf(row: SourceRow, body: Buffer, { rendering }: RowRules): Buffer | string {
  if (!rendering) return body;
  try {
    return render(row, body, rendering);
  } catch (error) {
    if (error instanceof HeadwaterError && error.code === 'corrupt') return error.message;
    throw error;
  }
}

/** Returns the patients in whose compartment a row is, even if the row cannot be exported. */
export function patientsOfRow(row: SourceRow, rules: RowRules): Set<string> {
  const { type, body } = row;
  const id = keyId(row.id);
  if (row.lost || (body && body.length > MAX_PARSED)) return new Set([MANY_PATIENTS]);
  const rendered = body ? renderedOf(row, body, rules) : '';
  const resource = typeof rendered === 'string' ? undefined : parsed(rendered);
  return new Set(patientsOf(type, id, resource, rules.references));
}

/** Returns the patients that a record names. If there are too many, it returns one mark that says so. */
export function named(patients: ReadonlySet<string>): string[] {
  return patients.size > MAX_PATIENTS ? [MANY_PATIENTS] : [...patients];
}

/** Returns an id as part of a key. A text that is not a FHIR id becomes a short printable form, different for each text. */
export function keyId(id: string): string {
  if (isId(id) || /^[\x21-\x7e]{0,64}$/.test(id)) return id;
  const start = id.slice(0, 40).replaceAll(/[^\x21-\x7e]/g, '_');
  return `${start}~${createHash('sha256').update(id).digest('hex').slice(0, 16)}`;
}

function problemOf(row: SourceRow, resource: unknown): string | undefined {
  if (resource === undefined) return 'its body is not JSON';
  if (!isObject(resource)) return 'its body is not a JSON object';
  if (resource['resourceType'] !== row.type) return 'the resourceType in its body is not the type of its row';
  if (resource['id'] !== row.id) return 'the id in its body is not the id of its row';
  return undefined;
}

/** Returns undefined if the text is not JSON. */
function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Replaces line breaks by spaces, because a body must be one line. In JSON text they can only stand between tokens. */
function oneLine(body: Buffer): Buffer {
  if (!body.includes(NEWLINE) && !body.includes(CARRIAGE_RETURN)) return body;
  return Buffer.from(body.map((byte) => (byte === NEWLINE || byte === CARRIAGE_RETURN ? SPACE : byte)));
}
