import { EXPORT_PARAMETERS } from '../events/export-parameter-table.ts';
import type { ExportParameter, ParameterField } from '../events/export-parameter-table.ts';

/** A value for a parameter; several values are a list. */
export type RequestValue = string | readonly string[] | undefined;

/** The export to ask for. Values of parameters stand under their fields, such as `types` for `_type`. */
export type ExportRequest = {
  /** The server's FHIR base: `http://127.0.0.1:8088/fhir`. */
  readonly server: string;
  /** Id of the Group to export. */
  readonly group?: string | undefined;
  /** Without a group: export all patients instead of everything. */
  readonly allPatients?: boolean | undefined;
  /** The server may ignore values that it does not understand. */
  readonly lenient?: boolean | undefined;
} & { readonly [Field in ParameterField]?: RequestValue };

interface Value {
  readonly name: string;
  readonly type: ExportParameter['type'];
  readonly value: string;
}

/** The kick-off: by GET, or by POST if it has references, which the guide allows in a body only. */
export function kickOffOf(request: ExportRequest): { readonly url: URL; readonly init: RequestInit } {
  const url = new URL(`${request.server.replace(/\/+$/, '')}/${operationOf(request)}`);
  const prefer = request.lenient ? 'respond-async, handling=lenient' : 'respond-async';
  const headers = { accept: 'application/fhir+json', prefer };
  const values = EXPORT_PARAMETERS.flatMap((row) => valuesOf(row, request[row.field]));
  if (!values.some(({ type }) => type === 'Reference')) {
    for (const { name, value } of values) url.searchParams.append(name, value);
    return { url, init: { headers } };
  }
  const body = JSON.stringify({ resourceType: 'Parameters', parameter: values.map(inBody) });
  return {
    url,
    init: { method: 'POST', headers: { ...headers, 'content-type': 'application/fhir+json' }, body },
  };
}

function operationOf({ group, patients = [], allPatients }: ExportRequest): string {
  if (group !== undefined) return `Group/${encodeURIComponent(group)}/$export`;
  return allPatients || patients.length > 0 ? 'Patient/$export' : '$export';
}

/** A list is one value with commas, but for references and searches, which are repeated. */
function valuesOf({ name, type, option }: ExportParameter, given: RequestValue): Value[] {
  if (given === undefined) return [];
  const list = typeof given === 'string' ? [given] : given;
  if (type === 'Reference') return list.map((id) => ({ name, type, value: `Patient/${id}` }));
  if (option?.repeated) return list.map((value) => ({ name, type, value }));
  return [{ name, type, value: list.join(',') }];
}

function inBody({ name, type, value }: Value): object {
  if (type === 'Reference') return { name, valueReference: { reference: value } };
  return type === 'instant' ? { name, valueInstant: value } : { name, valueString: value };
}
