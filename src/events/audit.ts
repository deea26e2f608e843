import { createHash } from 'node:crypto';
import { hash32 } from '../base/hash32.ts';

export type AuditKind =
  | 'token.issued'
  | 'token.refused'
  | 'export.requested'
  | 'export.refused'
  | 'export.planned'
  | 'export.completed'
  | 'export.failed'
  | 'export.cancelled'
  | 'manifest.read'
  | 'file.downloaded'
  | 'file.refused'
  | 'files.deleted'
  | 'policy.loaded'
  | 'message.forged';

/** The client behind something that is audited, as far as it is known. It holds no secret. */
export interface AuditAgent {
  /** The address of its connection. */
  readonly address?: string | undefined;
  /** The `iss` of its token. */
  readonly issuer?: string | undefined;
  readonly client?: string | undefined;
  /** The `sub` of its token, if it is not the client itself. */
  readonly subject?: string | undefined;
  /** Id of the only patient that the token is for. */
  readonly patient?: string | undefined;
  readonly roles?: readonly string[] | undefined;
  /** The `jti` of its token. */
  readonly tokenId?: string | undefined;
}

/** Something that happened, before it is an AuditEvent. Plain data, which a row of the database holds until it is in the log. */
export interface AuditEntry {
  /** UUID. The same for a repetition of what happened once. */
  readonly id: string;
  readonly kind: AuditKind;
  readonly outcome: 'success' | 'refused' | 'failed';
  readonly agent?: AuditAgent | undefined;
  readonly jobId?: string | undefined;
  /** sha256 of the access file, in hex. */
  readonly policy?: string | undefined;
  /** sha256 of the grant, in hex. */
  readonly grant?: string | undefined;
  /** Why it was refused or failed. */
  readonly reason?: string | undefined;
  /** Id of the group of a Group export. */
  readonly group?: string | undefined;
  /** Ids of the patients that the request names. */
  readonly patients?: readonly string[] | undefined;
  /** Other facts, by name. A name may occur again. */
  readonly details?: readonly (readonly [name: string, value: string])[] | undefined;
}

/** A record of `headwater.audit`. */
export interface AuditRecord {
  /** Its number in the chain, from 1. */
  readonly seq: number;
  readonly id: string;
  readonly kind: string;
  /** ms since 1970. */
  readonly at: number;
  /** SHA-256 of the value of the record before; empty in the first. */
  readonly previous: Buffer;
  /** An AuditEvent as JSON. */
  readonly fhir: Buffer;
}

/** The end of the chain, and the row that went into it last. */
export interface AuditHead {
  readonly row: number;
  readonly seq: number;
  readonly hash: Buffer;
}

export const NO_AUDIT: AuditHead = { row: 0, seq: 0, hash: Buffer.alloc(0) };

/** A record of `headwater.disclosures`: the patients whose data a task wrote. */
export interface Disclosed extends DisclosedPatients {
  readonly jobId: string;
  readonly taskId: string;
}

export interface DisclosedPatients {
  /** The task wrote every resource of its types that there was. */
  readonly all: boolean;
  /** Ids, if they are few. */
  readonly patients: readonly string[];
  /** If they are many: `patientHash` of each, sorted, one after the other. */
  readonly hashes: Buffer;
}

export const PATIENT_HASH_BYTES = 6;

/** Returns 48 bits of hash. Of 10^8 patients, fewer than one has the hash of one of a million others. It is not secure. */
export function patientHash(id: string): number {
  return hash32(id) * 2 ** 16 + (hash32(`#${id}`) & 0xffff);
}

/** Returns a UUID that is always the same for a name (RFC 9562, version 5, in the namespace of URLs). */
export function uuidOf(name: string): string {
  const hash = createHash('sha1')
    .update(URL_NAMESPACE)
    .update(`urn:headwater:${name}`)
    .digest()
    .subarray(0, 16);
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x50, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  return hash.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

const URL_NAMESPACE = Buffer.from('6ba7b8119dad11d180b400c04fd430c8', 'hex');
