import type pg from 'pg';
import type { Random } from '../e2e/random.ts';

/** A resource as JSON. */
export interface Resource {
  readonly resourceType: string;
  readonly id: string;
  readonly [name: string]: unknown;
}

/** A secret in the tables of the server's own types. */
export const CANARY = 'canary-secret-2f6c';

/**
 * Writes to a database as one kind of FHIR server does, by the SQL that its documentation or source shows. It knows what the server's API
 * would answer.
 */
export interface PresetWriter {
  /** HEADWATER_SOURCE_*. */
  readonly settings: Readonly<Record<string, string>>;
  /** The tables that are followed, in the order of their names. */
  readonly tables: readonly string[];
  /** Makes the tables. */
  install(client: pg.ClientBase): Promise<void>;
  /** Does one operation of the server, in the client's transaction. */
  step(client: pg.ClientBase, random: Random): Promise<void>;
  /** The resources that the API gives, by `Type/id`. */
  readonly answers: ReadonlyMap<string, Resource>;
}

let nonce = 0;

/** Returns a resource that never was before, about one of a few patients. */
export function randomResource(random: Random, type: 'Patient' | 'Observation', id: string): Resource {
  const n = ++nonce;
  if (type === 'Patient')
    return { resourceType: type, id, name: [{ family: `Müller ${n}` }], active: n % 2 === 0 };
  return {
    resourceType: type,
    id,
    status: 'final',
    code: { text: `weight ${n} "größer"` },
    subject: { reference: `Patient/${random.pick(['p1', 'p2', 'p3'])}` },
    valueQuantity: { value: n + 0.5, unit: 'kg' },
    note: n % 20 === 0 ? [{ text: 'long '.repeat(3_000) + String(n) }] : [{ text: 'short' }],
  };
}
