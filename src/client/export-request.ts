/** What to export, in the words of the guide's parameters. */
export interface ExportRequest {
  /** The server's FHIR base: `http://127.0.0.1:8088/fhir`. */
  readonly server: string;
  /** Id of the Group to export; without it, of all patients, or of everything. */
  readonly group?: string | undefined;
  readonly allPatients?: boolean | undefined;
  /** Ids of the only patients to export, of the Group or of all. */
  readonly patients?: readonly string[] | undefined;
  readonly types?: readonly string[] | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly typeFilters?: readonly string[] | undefined;
  readonly elements?: readonly string[] | undefined;
  readonly associatedData?: readonly string[] | undefined;
  readonly organizeBy?: string | undefined;
  readonly outputFormat?: string | undefined;
  /** The server may ignore what it does not understand. */
  readonly lenient?: boolean | undefined;
}

type Parameter = { readonly name: string } & (
  { readonly valueString: string } | { readonly valueInstant: string }
);

/** The kick-off: by GET, or with patients by POST, the only way that the guide has for them. */
export function kickOffOf(request: ExportRequest): { readonly url: URL; readonly init: RequestInit } {
  const { server, patients = [], lenient } = request;
  const url = new URL(`${server.replace(/\/+$/, '')}/${operationOf(request)}`);
  const prefer = lenient ? 'respond-async, handling=lenient' : 'respond-async';
  const headers = { accept: 'application/fhir+json', prefer };
  const parameters = parametersOf(request);
  if (patients.length === 0) {
    for (const one of parameters)
      url.searchParams.append(one.name, 'valueString' in one ? one.valueString : one.valueInstant);
    return { url, init: { headers } };
  }
  const references = patients.map((id) => ({
    name: 'patient',
    valueReference: { reference: `Patient/${id}` },
  }));
  const body = JSON.stringify({ resourceType: 'Parameters', parameter: [...parameters, ...references] });
  return {
    url,
    init: { method: 'POST', headers: { ...headers, 'content-type': 'application/fhir+json' }, body },
  };
}

function operationOf({ group, patients = [], allPatients }: ExportRequest): string {
  if (group !== undefined) return `Group/${encodeURIComponent(group)}/$export`;
  return allPatients || patients.length > 0 ? 'Patient/$export' : '$export';
}

function parametersOf(request: ExportRequest): Parameter[] {
  return [
    ...text('_type', request.types?.join(',')),
    ...instant('_since', request.since),
    ...instant('_until', request.until),
    ...(request.typeFilters ?? []).flatMap((filter) => text('_typeFilter', filter)),
    ...text('_elements', request.elements?.join(',')),
    ...text('includeAssociatedData', request.associatedData?.join(',')),
    ...text('organizeOutputBy', request.organizeBy),
    ...text('_outputFormat', request.outputFormat),
  ];
}

function text(name: string, value: string | undefined): Parameter[] {
  return value === undefined ? [] : [{ name, valueString: value }];
}

function instant(name: string, value: string | undefined): Parameter[] {
  return value === undefined ? [] : [{ name, valueInstant: value }];
}
