import { randomBytes } from 'node:crypto';

/** A unique name, for topics, groups, databases, slots and buckets: `orders-3f9a01c2`. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomBytes(4).toString('hex')}`;
}

/** A unique name without a dash, for databases, tables, slots, publications. */
export function uniqueIdentifier(prefix: string): string {
  return `${prefix}_${randomBytes(4).toString('hex')}`;
}
