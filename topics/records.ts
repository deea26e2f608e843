import type { AvroSchema } from './avro-schema.ts';

export const NAMESPACE = 'headwater';

/** Marks the longs that need all of their 64 bits; to other readers of Avro, an unknown logical type is a plain long. */
export const LSN = 'lsn';
export const lsnSchema: AvroSchema = { type: 'long', logicalType: LSN };

export const epochSchema: AvroSchema = {
  type: 'record',
  name: 'Epoch',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'began', type: 'long', doc: 'Stamp of the first load' },
  ],
};

const strings: AvroSchema = { type: 'array', items: 'string' };

/** Records that more than one schema holds. */
export const exportParametersSchema: AvroSchema = {
  type: 'record',
  name: 'ExportParameters',
  namespace: NAMESPACE,
  fields: [
    { name: 'types', type: strings },
    { name: 'since', type: ['null', 'string'], default: null },
    { name: 'outputFormat', type: 'string' },
    { name: 'level', type: 'string', default: 'system' },
    { name: 'group', type: ['null', 'string'], default: null },
    { name: 'patients', type: strings, default: [] },
    { name: 'until', type: ['null', 'string'], default: null },
    { name: 'typeFilters', type: strings, default: [] },
    { name: 'elements', type: strings, default: [] },
    { name: 'provenance', type: 'string', default: 'in-scope' },
    { name: 'organizeBy', type: ['null', 'string'], default: null },
    { name: 'partialManifests', type: 'boolean', default: false },
    { name: 'separateStatus', type: 'boolean', default: false },
    { name: 'container', type: ['null', 'string'], default: null },
    { name: 'warnings', type: strings, default: [], doc: 'What was ignored, a sentence each' },
    {
      name: 'deidentify',
      type: ['null', 'string'],
      default: null,
      doc: 'Name of the configuration that de-identifies',
    },
    { name: 'binary', type: 'boolean', default: true, doc: 'Without types, whether Binary is one of them' },
  ],
};

export const exportFileSchema: AvroSchema = {
  type: 'record',
  name: 'ExportFile',
  namespace: NAMESPACE,
  fields: [
    { name: 'kind', type: { type: 'enum', name: 'FileKind', symbols: ['output', 'deleted', 'error'] } },
    { name: 'type', type: 'string' },
    { name: 'key', type: 'string', doc: 'Key in the object store' },
    { name: 'count', type: 'long', doc: 'Lines' },
    { name: 'bytes', type: 'long', doc: 'Size as stored' },
    { name: 'sha256', type: 'string', doc: 'Of the stored bytes, hex' },
  ],
};
