import assert from 'node:assert/strict';
import fhir from 'fhir';
import { auditEventOf } from '../../src/audit/audit-event.ts';
import {
  done,
  exportCancelled,
  exportEntry,
  exportRequested,
  filesDeleted,
  messageForged,
  policyLoaded,
  refused,
} from '../../src/audit/entries.ts';
import type { AuditEntry } from '../../src/events/audit.ts';
import type { ExportEvent } from '../../src/events/export-event.ts';
import type { Grant } from '../../src/events/grant.ts';
import { RequestSeal } from '../../src/events/request-seal.ts';
import { EVERYTHING } from '../../src/events/request.ts';

const AT = Date.parse('2026-03-04T05:06:07.089Z');
const SECRET = 'a secret of the tests that is long';
const seal = new RequestSeal(SECRET);
const agent = {
  ...{
    address: '10.0.0.7',
    issuer: 'https://export.example.org/fhir',
    client: 'warehouse',
    subject: undefined,
  },
  ...{ patient: undefined, roles: ['research'], tokenId: 'jti-1' },
};
const rule = { types: ['Patient'], where: { kind: 'any' }, shared: 'any', redact: [] } as const;
const grant: Grant = {
  ...{
    policy: 'ab'.repeat(32),
    issuer: agent.issuer,
    client: agent.client,
    patient: undefined,
    roles: ['research'],
  },
  types: ['Patient'],
  rules: [
    { ...rule, id: 'research/no-restricted', effect: 'deny' },
    { ...rule, id: 'research/patients', effect: 'allow' },
  ],
};
const facts = {
  jobId: 'job-1',
  agent,
  grant,
  parameters: { ...EVERYTHING, level: 'group', group: 'trial', typeFilters: ['Patient?name=Chalmers'] },
} as const;
const event: ExportEvent = {
  ...{ jobId: 'job-1', clientId: 'c', requestUrl: 'u', kind: 'completed', at: AT },
  ...{
    transactionTime: '2026-03-04T05:06:00.000Z',
    file: undefined,
    manifest: undefined,
    failure: undefined,
  },
};
const files = [
  {
    kind: 'output',
    type: 'Patient',
    key: 'f/Patient-1.ndjson',
    count: 7,
    bytes: 700,
    sha256: 'cd'.repeat(32),
  },
  {
    kind: 'output',
    type: 'Patient',
    key: 'f/Patient-2.ndjson',
    count: 3,
    bytes: 300,
    sha256: 'ef'.repeat(32),
  },
] as const;

const failure = { code: 'deadline', message: 'There was no progress.' };
const ENTRIES: readonly (AuditEntry | undefined)[] = [
  done('token.issued', { agent, details: [['scope', 'system/*.rs']] }),
  refused('token.refused', { agent: { address: '10.0.0.7' }, reason: 'invalid_client' }),
  exportRequested(facts, seal),
  refused('export.refused', { agent, reason: 'forbidden: level' }),
  exportEntry({ ...event, kind: 'accepted' }, facts, []),
  exportEntry(event, facts, files),
  exportEntry({ ...event, kind: 'failed', failure }, facts, []),
  exportCancelled('job-1', agent),
  done('manifest.read', { agent, jobId: 'job-1' }),
  done('file.downloaded', { agent, jobId: 'job-1', details: [['file', 'f/Patient-1.ndjson']] }),
  refused('file.refused', { agent: {}, reason: 'not-found' }),
  filesDeleted('job-1', 'folder'),
  policyLoaded('ab'.repeat(32)),
  messageForged('123/0', 'its seal is wrong'),
];

function shown(entry: AuditEntry | undefined): string {
  assert.ok(entry);
  return JSON.stringify(auditEventOf(entry, AT, 'https://export.example.org/fhir'));
}

describe('AuditEvents', () => {
  const validator = new fhir.Fhir();

  for (const entry of ENTRIES)
    it(`of ${entry?.kind ?? 'no kind'} are valid in R4`, () => {
      const { messages } = validator.validate(JSON.parse(shown(entry)) as object, {
        errorOnUnexpected: true,
      });
      assert.deepEqual(
        // R4 lets a server have subtypes beyond the validator's list.
        messages.filter(
          ({ severity, location = '', message = '' }) =>
            String(severity) !== 'info' &&
            !(location.startsWith('AuditEvent.subtype') && message.endsWith('not found in value set')),
        ),
        [],
      );
    });

  it('name client, token, policy, grant, rules, counts and files of a completed export', () => {
    const text = shown(exportEntry(event, facts, files));
    for (const part of [
      '"system":"https://export.example.org/fhir","value":"warehouse"',
      'urn:ietf:params:oauth:jti:jti-1',
      `urn:headwater:policy:sha256:${'ab'.repeat(32)}`,
      'urn:headwater:grant:sha256:',
      '"type":"rulePath:Patient","valueString":"research/no-restricted:deny > research/patients:allow"',
      '"type":"count:Patient","valueString":"10"',
      `f/Patient-1.ndjson ${'cd'.repeat(32)} 700`,
      '"reference":"Group/trial"',
      '"recorded":"2026-03-04T05:06:07.089Z"',
    ])
      assert.ok(text.includes(part), `${part} is not in ${text}`);
  });

  it('hide the values of searches, and mark equal searches alike', () => {
    const text = shown(exportRequested(facts, seal));
    assert.doesNotMatch(text, /Chalmers/);
    const mark = /Patient hmac-sha256:[\w-]{43}/.exec(text)?.[0] ?? '';
    assert.match(mark, /Patient/);
    assert.ok(shown(exportRequested({ ...facts, jobId: 'job-2' }, seal)).includes(mark));
    assert.ok(!shown(exportRequested(facts, new RequestSeal('another secret of the tests'))).includes(mark));
  });

  it('follow the profile for a disclosure only if it is about one patient', () => {
    const one = { ...facts, parameters: { ...EVERYTHING, level: 'patient', patients: ['7'] } } as const;
    assert.match(
      shown(exportEntry(event, one, files)),
      /IHE\.BasicAudit\.PrivacyDisclosure\.Source.*Patient\/7/,
    );
    assert.doesNotMatch(shown(exportEntry(event, facts, files)), /BasicAudit/);
  });

  it('of one thing that is repeated have one id, and others have their own', () => {
    const id = exportEntry(event, facts, files)?.id;
    assert.match(id ?? '', /^[\da-f]{8}-[\da-f]{4}-5[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    assert.equal(exportEntry(event, undefined, [])?.id, id);
    const ids = ENTRIES.map((entry) => entry?.id);
    assert.equal(new Set(ids).size, ids.length);
  });
});
