import { createHash } from 'node:crypto';

export interface HapiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly resource?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One way to change what HAPI stores. */
export interface HapiOperation {
  readonly name: string;
  readonly request: HapiRequest;
  /** The resources that are read after it. */
  readonly reads: readonly string[];
}

const tag = (code: string): object => ({ system: 'http://tags', code });
const patient = (id: string, more: object = {}): object => ({ resourceType: 'Patient', id, ...more });
const observation = (id: string, subject: string): object => ({
  resourceType: 'Observation',
  id,
  status: 'final',
  code: { text: 'Weight' },
  subject: { reference: subject },
});
const parameters = (...parameter: object[]): object => ({ resourceType: 'Parameters', parameter });
const flag = (name: string): object => ({ name, valueBoolean: true });
const bundle = (...entries: HapiRequest[]): object => ({
  resourceType: 'Bundle',
  type: 'transaction',
  entry: entries.map(({ method, path, resource }) => ({
    ...(method === 'POST' && { fullUrl: 'urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0' }),
    ...(resource !== undefined && { resource }),
    request: { method, url: path },
  })),
});
/** Neither PostgreSQL nor a reader can make it smaller, so PostgreSQL stores it outside the row. */
const LARGE = Array.from({ length: 60 }, (_, i) => createHash('sha256').update(`${i}`).digest('hex')).join(
  '',
);

const put = (name: string, resource: object): HapiOperation => {
  const { resourceType, id } = resource as { resourceType: string; id: string };
  const path = `${resourceType}/${id}`;
  return { name, request: { method: 'PUT', path, resource }, reads: [path] };
};
const post = (name: string, path: string, resource: object, ...reads: string[]): HapiOperation => ({
  name,
  request: { method: 'POST', path, resource },
  reads,
});
const remove = (name: string, path: string): HapiOperation => ({
  name,
  request: { method: 'DELETE', path },
  reads: [path.replace(/\?.*/, '')],
});
const rewrite = (name: string, version: string, resource: object): HapiOperation => ({
  name,
  request: {
    method: 'PUT',
    path: `Patient/abc/_history/${version}`,
    resource,
    headers: { 'X-Rewrite-History': 'true' },
  },
  reads: ['Patient/abc'],
});

const created = patient('abc', {
  meta: {
    source: 'http://sources/one',
    profile: ['http://profiles/one'],
    security: [{ system: 'http://security', version: '2', code: 'R', display: 'Ä', userSelected: true }],
    tag: [{ ...tag('b'), display: 'B', version: '1', userSelected: false }, tag('a')],
  },
  extension: [{ url: 'http://extensions/decimal', valueDecimal: 1.5 }],
  name: [{ id: 'name', family: 'Grün' }],
});
const updated = patient('abc', { meta: { tag: [tag('c')] }, active: true });

/** What every setting of HAPI is recorded with. */
export const COMMON: readonly HapiOperation[] = [
  put('create', created),
  put('update', updated),
  put('update without a change', updated),
  remove('delete', 'Patient/abc'),
  put('undelete', patient('abc', { active: false })),
];

/** The rest, with HAPI's own settings. */
export const ALL: readonly HapiOperation[] = [
  ...COMMON,
  post('create with an ID of the server', 'Organization', { resourceType: 'Organization', name: 'One' }),
  put('create with an extension in meta', {
    ...patient('extended'),
    meta: { extension: [{ url: 'http://extensions/meta', valueString: 'kept' }], tag: [tag('a')] },
  }),
  put('create of a large resource', patient('large', { name: [{ text: LARGE }] })),
  post(
    'add of a tag to a large resource',
    'Patient/large/$meta-add',
    parameters({ name: 'meta', valueMeta: { tag: [tag('a')] } }),
    'Patient/large',
  ),
  put('create of an observation', observation('weight', 'Patient/abc')),
  put('move of an observation to another patient', observation('weight', 'Patient/large')),
  post(
    'delete and update in one bundle',
    '',
    bundle(
      { method: 'DELETE', path: 'Patient/abc' },
      { method: 'PUT', path: 'Patient/abc', resource: patient('abc', { active: true }) },
    ),
    'Patient/abc',
  ),
  post(
    'bundle with references',
    '',
    bundle(
      { method: 'POST', path: 'Patient', resource: { resourceType: 'Patient', active: true } },
      {
        method: 'PUT',
        path: 'Observation/height',
        resource: observation('height', 'urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0'),
      },
      { method: 'DELETE', path: 'Observation/weight' },
    ),
    'Observation/height',
    'Observation/weight',
  ),
  {
    name: 'patch',
    request: {
      method: 'PATCH',
      path: 'Patient/abc',
      resource: [{ op: 'replace', path: '/active', value: false }],
      headers: { 'content-type': 'application/json-patch+json' },
    },
    reads: ['Patient/abc'],
  },
  post(
    '$meta-add',
    'Patient/abc/$meta-add',
    parameters({ name: 'meta', valueMeta: { tag: [tag('d')], profile: ['http://profiles/two'] } }),
    'Patient/abc',
  ),
  post(
    '$meta-delete',
    'Patient/abc/$meta-delete',
    parameters({ name: 'meta', valueMeta: { tag: [tag('d')] } }),
    'Patient/abc',
  ),
  post('$reindex', 'Patient/abc/$reindex', parameters(), 'Patient/abc'),
  rewrite('rewrite of an old version', '2', patient('abc', { gender: 'other' })),
  rewrite('rewrite of the current version', '7', patient('abc', { gender: 'female' })),
  post(
    '$expunge of versions',
    'Patient/abc/$expunge',
    parameters(flag('expungePreviousVersions')),
    'Patient/abc',
  ),
  remove('delete before $expunge', 'Patient/extended'),
  post(
    '$expunge of a deleted resource',
    'Patient/extended/$expunge',
    parameters(flag('expungeDeletedResources'), flag('expungePreviousVersions')),
    'Patient/extended',
  ),
  put('create before a delete with _expunge', patient('gone')),
  {
    name: 'delete with _expunge',
    request: { method: 'DELETE', path: 'Patient?_id=gone&_expunge=true' },
    reads: ['Patient/gone'],
  },
  post('$expunge of everything', '$expunge', parameters(flag('expungeEverything')), 'Patient/abc'),
];
