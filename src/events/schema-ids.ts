import type { AvroSchema } from '../../topics/avro-schema.ts';
import { HeadwaterError } from '../base/errors.ts';

/** The ids of one subject's schemas in the registry. */
export interface SubjectSchemas {
  /** Id of the schema with which this process writes. */
  readonly id: number;
  /** Every version anyone may have written with, by id; the current one may be among them. */
  readonly writers: ReadonlyMap<number, AvroSchema>;
}

/** Schema ids by subject (`TopicDeclaration.subject`), resolved once at the start of a process. */
export type SchemaIds = ReadonlyMap<string, SubjectSchemas>;

export function schemasOf(ids: SchemaIds, subject: string): SubjectSchemas {
  const found = ids.get(subject);
  if (!found)
    throw new HeadwaterError('internal', `the schema ids of ${subject} were not resolved`, { subject });
  return found;
}

/** A codec of one kind of record, to and from Confluent's wire format. */
export interface Codec<T> {
  encode(value: T): Buffer;
  /** Throws `corrupt`, or `unavailable` for a schema that was registered after the start. */
  decode(bytes: Buffer): T;
}
