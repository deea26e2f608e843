import type { AuditAgent, AuditEntry, AuditKind } from '../events/audit.ts';

const DICOM = 'http://dicom.nema.org/resources/ontology/DCM';
const LIFECYCLE = 'http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle';
const KINDS = 'https://headwater.dev/audit';
const TYPES = 'http://terminology.hl7.org/CodeSystem/audit-entity-type';
const ROLES = 'http://terminology.hl7.org/CodeSystem/object-role';
const SOURCES = 'http://terminology.hl7.org/CodeSystem/security-source-type';
/** IHE BALP: a disclosure, of one patient only. */
const DISCLOSURE =
  'https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PrivacyDisclosure.Source';

/** The type of an event in DICOM's terms, what was done (FHIR: execute, read, delete), and where in its life the data is. */
interface Sort {
  readonly type: readonly [code: string, display: string];
  readonly action: 'E' | 'R' | 'D';
  readonly lifecycle?: 'disclose' | 'destroy' | 'access';
}

const EXPORT = ['110106', 'Export'] as const;
const LOGIN = ['110114', 'User Authentication'] as const;
const ALERT = ['110113', 'Security Alert'] as const;

const SORTS: Readonly<Record<AuditKind, Sort>> = {
  'token.issued': { type: LOGIN, action: 'E' },
  'token.refused': { type: LOGIN, action: 'E' },
  'export.requested': { type: EXPORT, action: 'E' },
  'export.refused': { type: ALERT, action: 'E' },
  'export.planned': { type: EXPORT, action: 'E' },
  'export.completed': { type: EXPORT, action: 'R', lifecycle: 'disclose' },
  'export.failed': { type: EXPORT, action: 'E' },
  'export.cancelled': { type: EXPORT, action: 'E' },
  'manifest.read': { type: EXPORT, action: 'R', lifecycle: 'access' },
  'file.downloaded': { type: EXPORT, action: 'R', lifecycle: 'disclose' },
  'file.refused': { type: ALERT, action: 'R' },
  'files.deleted': { type: EXPORT, action: 'D', lifecycle: 'destroy' },
  'policy.loaded': { type: ['110136', 'Security Roles Changed'], action: 'E' },
  'message.forged': { type: ALERT, action: 'E' },
};

const OUTCOMES = { success: '0', refused: '4', failed: '8' } as const;

/**
 * Returns the entry as an AuditEvent of FHIR R4, in the terms of IHE's Basic Audit Log Patterns where they have one.
 * @param at ms since 1970
 * @param observer the base URL of this Headwater
 */
export function auditEventOf(entry: AuditEntry, at: number, observer: string): object {
  const { type, action, lifecycle } = SORTS[entry.kind];
  const { patients = [], kind, outcome, reason } = entry;
  const isDisclosure = lifecycle === 'disclose' && patients.length === 1;
  return {
    resourceType: 'AuditEvent',
    id: entry.id,
    ...(isDisclosure && { meta: { profile: [DISCLOSURE] } }),
    type: { system: DICOM, code: type[0], display: type[1] },
    subtype: [
      ...(lifecycle === undefined ? [] : [{ system: LIFECYCLE, code: lifecycle }]),
      { system: KINDS, code: kind },
    ],
    action,
    recorded: new Date(at).toISOString(),
    outcome: OUTCOMES[outcome],
    ...(reason !== undefined && { outcomeDesc: reason }),
    ...(entry.agent?.patient !== undefined && { purposeOfEvent: [{ coding: [PATIENT_REQUEST] }] }),
    agent: [requestor(entry), SERVER],
    source: { observer: { display: observer }, type: [{ system: SOURCES, code: '4' }] },
    ...entities(entry),
  };
}

const PATIENT_REQUEST = { system: 'http://terminology.hl7.org/CodeSystem/v3-ActReason', code: 'PATRQT' };
const SERVER = {
  type: { coding: [{ system: DICOM, code: '110153', display: 'Source Role ID' }] },
  who: { display: 'headwater' },
  requestor: false,
};

function requestor({ agent = {}, policy, grant }: AuditEntry): object {
  const { address, roles = [], tokenId, subject } = agent;
  const policies = [
    ...(tokenId === undefined ? [] : [`urn:ietf:params:oauth:jti:${tokenId}`]),
    ...(policy === undefined ? [] : [`urn:headwater:policy:sha256:${policy}`]),
    ...(grant === undefined ? [] : [`urn:headwater:grant:sha256:${grant}`]),
  ];
  return {
    type: { coding: [{ system: DICOM, code: '110152', display: 'Destination Role ID' }] },
    ...(roles.length > 0 && { role: roles.map((text) => ({ text })) }),
    who: whoOf(agent),
    ...(subject !== undefined && { altId: subject }),
    requestor: true,
    ...(policies.length > 0 && { policy: policies }),
    ...(address !== undefined && { network: { address, type: '2' } }),
  };
}

function whoOf({ issuer, client, address }: AuditAgent): object {
  if (client === undefined) return { display: address === undefined ? 'unknown' : `unknown, at ${address}` };
  return { identifier: { ...(issuer !== undefined && { system: issuer }), value: client } };
}

function entities({ jobId, group, patients = [], agent, details = [] }: AuditEntry): object {
  const detail = details.map(([type, valueString]) => ({ type, valueString }));
  const named = patients.length > 0 ? patients : agent?.patient === undefined ? [] : [agent.patient];
  const found = [
    ...(jobId === undefined && detail.length === 0
      ? []
      : [
          {
            ...(jobId !== undefined && { what: { identifier: { value: jobId } } }),
            type: { system: TYPES, code: '2' },
            role: { system: ROLES, code: '20' },
            ...(detail.length > 0 && { detail }),
          },
        ]),
    ...(group === undefined
      ? []
      : [{ what: { reference: `Group/${group}` }, type: { system: TYPES, code: '2' } }]),
    ...named.map((id) => ({
      what: { reference: `Patient/${id}` },
      type: { system: TYPES, code: '1' },
      role: { system: ROLES, code: '1' },
    })),
  ];
  return found.length === 0 ? {} : { entity: found };
}
