import packageJson from '../../package.json' with { type: 'json' };
import { exportEvents } from '../../topics/exports.ts';
import type { ExportEventKind } from './export-event.ts';

/** The meaning of each event. All events have the same record. */
const KINDS: Readonly<Record<ExportEventKind, string>> = {
  accepted: 'An export was asked for and has its place in the log.',
  started: 'Its first piece of work was taken up.',
  'file-ready': 'A file is written; `file` names it by its key in the object store.',
  completed:
    'All files are there; `manifest` has the manifest as JSON, with keys of the object store instead of signed URLs.',
  failed: 'It failed; `failure` says why.',
  cancelled: 'Its client does not want it, or its files, any more.',
  expired: 'Its files are removed, being older than HEADWATER_RETENTION.',
};

/**
 * The public topic as AsyncAPI 3.0 (https://www.asyncapi.com/docs/reference/specification/v3.0.0): address, configuration and
 * Avro schema are those of its declaration. It does not name the brokers, because the document is public.
 */
export function asyncApi({ topicPrefix }: { readonly topicPrefix: string }): object {
  const address = `${topicPrefix}.${exportEvents.name}`;
  const kinds = Object.keys(KINDS);
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Headwater export events',
      version: packageJson.version,
      description:
        'What happens to bulk data exports, each thing once. Written in Kafka transactions: read with isolation.level=read_committed. CloudEvents 1.0 in binary content mode.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: CONTENT_TYPE,
    channels: {
      exports: {
        address,
        title: 'Export events',
        description: exportEvents.why,
        messages: Object.fromEntries(kinds.map((kind) => [kind, { $ref: `#/components/messages/${kind}` }])),
        bindings: {
          kafka: { topic: address, topicConfiguration: topicConfiguration(), bindingVersion: '0.5.0' },
        },
      },
    },
    operations: {
      tellOfExports: {
        action: 'send',
        title: 'Tell subscribers of exports',
        channel: { $ref: '#/channels/exports' },
        messages: kinds.map((kind) => ({ $ref: `#/channels/exports/messages/${kind}` })),
      },
    },
    components: {
      messages: Object.fromEntries(
        Object.entries(KINDS).map(([kind, summary]) => [kind, messageOf(kind, summary)]),
      ),
      schemas: {
        ExportEvent: {
          schemaFormat: 'application/vnd.apache.avro;version=1.9.0',
          schema: exportEvents.schema,
        },
      },
    },
  };
}

const CONTENT_TYPE = 'application/avro';

function messageOf(kind: string, summary: string): object {
  return {
    name: `headwater.export.${kind}`,
    title: kind,
    summary,
    contentType: CONTENT_TYPE,
    headers: headersOf(kind),
    payload: { $ref: '#/components/schemas/ExportEvent' },
    correlationId: { location: '$message.header#/ce_subject', description: 'Id of the job.' },
    bindings: {
      kafka: {
        key: { type: 'string', description: `${exportEvents.key}, so that events of a job are in order` },
        schemaIdLocation: 'payload',
        schemaIdPayloadEncoding: 'confluent',
        schemaLookupStrategy: 'TopicNameStrategy',
        bindingVersion: '0.5.0',
      },
    },
  };
}

/** The headers that `cloudEventHeaders` makes. */
function headersOf(kind: string): object {
  const properties = {
    ce_specversion: { const: '1.0' },
    ce_id: { type: 'string', minLength: 1, description: 'With ce_source it identifies the event.' },
    ce_source: { type: 'string', format: 'uri-reference', description: 'Which Headwater this is.' },
    ce_type: { const: `headwater.export.${kind}` },
    ce_time: { type: 'string', format: 'date-time' },
    ce_subject: { type: 'string', minLength: 1, description: 'Id of the job.' },
    'content-type': { const: CONTENT_TYPE },
  };
  return { type: 'object', properties, required: Object.keys(properties), additionalProperties: false };
}

/** Returns the part of the configuration of the topic that subscribers need. */
function topicConfiguration(): object {
  // The configuration of this topic depends on none of the settings.
  const config = exportEvents.config({ resourcePartitions: 1, replicationFactor: 1, compactionLagMs: 0 });
  return {
    'cleanup.policy': [config['cleanup.policy']],
    'retention.ms': Number(config['retention.ms']),
    'max.message.bytes': Number(config['max.message.bytes']),
  };
}
