import { createHash } from 'node:crypto';
import type { AuditEntry, AuditHead, AuditRecord } from '../events/audit.ts';
import type { Codec } from '../events/schema-ids.ts';
import { auditEventOf } from './audit-event.ts';

/** An entry with the time at which it happened, in ms since 1970. */
export interface TimedEntry {
  readonly at: number;
  readonly entry: AuditEntry;
}

export interface ChainOptions {
  readonly codec: Pick<Codec<AuditRecord>, 'encode'>;
  /** The base URL of this Headwater. */
  readonly observer: string;
}

/** Appends entries to the chain: each record has the hash of the one before, so none can be removed or changed unseen. */
export function chained(
  entries: readonly TimedEntry[],
  { row, ...before }: AuditHead,
  { codec, observer }: ChainOptions,
): { readonly values: readonly Buffer[]; readonly head: AuditHead } {
  let { seq, hash } = before;
  const values = entries.map(({ at, entry }) => {
    const fhir = Buffer.from(JSON.stringify(auditEventOf(entry, at, observer)));
    const value = codec.encode({ seq: ++seq, id: entry.id, kind: entry.kind, at, previous: hash, fhir });
    hash = hashOf(value);
    return value;
  });
  return { values, head: { row, seq, hash } };
}

/** SHA-256 of a record's value, as it is stored. */
export function hashOf(value: Buffer): Buffer {
  return createHash('sha256').update(value).digest();
}
