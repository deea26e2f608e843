/** An Avro schema as JSON has it (Avro 1.12, Schema Declaration): a type's name, a union, or an object. */
export type AvroSchema = string | readonly AvroSchema[] | AvroSchemaObject;

interface AvroSchemaObject {
  readonly type: AvroSchema;
  readonly name?: string;
  readonly namespace?: string;
  readonly doc?: string;
  readonly logicalType?: string;
  readonly fields?: readonly AvroField[];
  readonly symbols?: readonly string[];
  readonly items?: AvroSchema;
}

export interface AvroField {
  readonly name: string;
  readonly type: AvroSchema;
  readonly doc?: string;
  readonly default?: string | number | boolean | null | readonly string[];
}
