import { createHash, randomUUID } from 'node:crypto';
import type { Lsn } from '../base/positions.ts';
import { uuidOf } from '../events/audit.ts';
import type { AuditAgent, AuditEntry, AuditKind } from '../events/audit.ts';
import type { ExportEvent } from '../events/export-event.ts';
import { isAbout } from '../events/grant.ts';
import type { Grant } from '../events/grant.ts';
import { canonicalJson } from '../events/request-seal.ts';
import type { RequestSeal } from '../events/request-seal.ts';
import type { ExportParameters } from '../events/request.ts';
import type { ExportFile } from '../events/status.ts';

type Details = readonly (readonly [name: string, value: string])[];

/** Beyond it, patients of a request are counted and not named. */
const MAX_NAMED = 100;
/** Files of an export that are listed one by one: more would not fit into a record. */
const MAX_FILES = 10_000;

/** The facts that the gateway knows of an export at its kick-off. */
export interface AskedExport {
  readonly jobId: string;
  readonly agent: AuditAgent;
  readonly grant: Grant | undefined;
  readonly parameters: ExportParameters;
}

/** @param seal hides the values of searches, which may be names of patients: equal searches have equal marks */
export function exportRequested(facts: AskedExport, seal: RequestSeal): AuditEntry {
  const { parameters, grant } = facts;
  return {
    ...ofJob('export.requested', facts),
    details: [
      ...askedFor(parameters),
      ...parameters.typeFilters.map((query): [string, string] => [
        '_typeFilter',
        `${query.slice(0, query.indexOf('?'))} hmac-sha256:${seal.of({ typeFilter: query })}`,
      ]),
      ...(grant?.rules ?? []).map(({ id, effect }): [string, string] => ['rule', `${id}:${effect}`]),
    ],
  };
}

export function exportCancelled(jobId: string, agent: AuditAgent): AuditEntry {
  return {
    id: uuidOf(`${jobId} export.cancelled`),
    kind: 'export.cancelled',
    outcome: 'success',
    agent,
    jobId,
  };
}

const JOB_KINDS: Readonly<Partial<Record<ExportEvent['kind'], AuditKind>>> = {
  accepted: 'export.planned',
  completed: 'export.completed',
  failed: 'export.failed',
};

/** Returns what an announced event is to an auditor; undefined if it is nothing new. */
export function exportEntry(
  event: ExportEvent,
  facts: Omit<AskedExport, 'jobId'> | undefined,
  files: readonly ExportFile[],
): AuditEntry | undefined {
  const kind = JOB_KINDS[event.kind];
  if (kind === undefined || (kind === 'export.planned' && event.transactionTime === undefined))
    return undefined;
  const { jobId, transactionTime, failure } = event;
  const entry = facts ? ofJob(kind, { ...facts, jobId }) : { id: uuidOf(`${jobId} ${kind}`), kind, jobId };
  return {
    ...entry,
    outcome: kind === 'export.failed' ? 'failed' : 'success',
    ...(failure && { reason: `${failure.code}: ${failure.message}` }),
    details: [
      ...(transactionTime === undefined ? [] : ([['transactionTime', transactionTime]] as const)),
      ...(facts ? askedFor(facts.parameters) : []),
      ...(kind === 'export.completed' ? outputOf(files, facts?.grant) : []),
    ],
  };
}

/** @param folder the folder of the job's files */
export function filesDeleted(jobId: string, folder: string): AuditEntry {
  const id = uuidOf(`${jobId} files.deleted ${folder}`);
  return { id, kind: 'files.deleted', outcome: 'success', jobId, details: [['folder', folder]] };
}

/** Something that one client did once, such as a download. */
export function done(kind: AuditKind, entry: Omit<AuditEntry, 'id' | 'kind' | 'outcome'>): AuditEntry {
  return { id: randomUUID(), kind, outcome: 'success', ...entry };
}

export function refused(
  kind: 'token.refused' | 'export.refused' | 'file.refused',
  entry: Omit<AuditEntry, 'id' | 'kind' | 'outcome'>,
): AuditEntry {
  return { id: randomUUID(), kind, outcome: 'refused', ...entry };
}

export function policyLoaded(policy: string): AuditEntry {
  return { id: randomUUID(), kind: 'policy.loaded', outcome: 'success', policy };
}

/**
 * A message in the write-ahead log, or a row, that no gateway of this installation made, or that it made once and somebody repeated.
 * @param place where it lies, such as a position and a number: the same place is the same entry
 */
export function messageForged(place: string, reason: string, jobId?: string): AuditEntry {
  const id = uuidOf(`message.forged ${place}`);
  return { id, kind: 'message.forged', outcome: 'refused', jobId, reason, details: [['place', place]] };
}

export function forgedAt(lsn: Lsn, n: number): string {
  return `${String(lsn)}/${String(n)}`;
}

function ofJob(kind: AuditKind, { jobId, agent, grant, parameters }: AskedExport): AuditEntry {
  const { group, patients } = parameters;
  return {
    id: uuidOf(`${jobId} ${kind}`),
    ...{ kind, outcome: 'success', agent, jobId, group },
    ...(grant && { policy: grant.policy, grant: sha256(canonicalJson(grant)) }),
    ...(patients.length <= MAX_NAMED && { patients }),
  };
}

function askedFor({ level, types, since, until, patients, elements, deidentify }: ExportParameters): Details {
  const details: [string, string | undefined][] = [
    ['level', level],
    ['_type', types.join(',') || undefined],
    ['_since', since],
    ['_until', until],
    ['_elements', elements.join(',') || undefined],
    ['_anonymizationConfig', deidentify],
    ['patients', patients.length > MAX_NAMED ? String(patients.length) : undefined],
  ];
  return details.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
}

/** The rules that decided, the resources and the files, by type. */
function outputOf(files: readonly ExportFile[], grant: Grant | undefined): Details {
  const output = files.filter(({ kind }) => kind === 'output');
  const counts = Map.groupBy(output, ({ type }) => type);
  const types = [...counts.keys()].sort();
  const listed = files.slice(0, MAX_FILES);
  const others = files.slice(MAX_FILES);
  return [
    ...types.flatMap((type): Details => {
      const rules = (grant?.rules ?? []).filter((rule) => isAbout(rule, type));
      const path = rules.map(({ id, effect }) => `${id}:${effect}`).join(' > ');
      const count = (counts.get(type) ?? []).reduce((sum, file) => sum + file.count, 0);
      return [
        ...(path === '' ? [] : [[`rulePath:${type}`, path] as const]),
        [`count:${type}`, String(count)],
      ];
    }),
    ...listed.map((file): [string, string] => ['file', nameOf(file)]),
    ...(others.length === 0
      ? []
      : ([
          ['files', `${String(others.length)} more sha256:${sha256(others.map(nameOf).join('\n'))}`],
        ] as const)),
  ];
}

function nameOf({ key, sha256: hash, bytes }: ExportFile): string {
  return `${key} ${hash} ${String(bytes)}`;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
