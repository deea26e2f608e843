import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { Ajv } from 'ajv';
import ajvFormats from 'ajv-formats';
import avro from 'avsc';
import type { IHeaders, KafkaMessage } from 'kafkajs';
import type { Manifest } from '../../src/manifest/manifest.ts';
import { OpenApiDocument } from '../http/openapi-document.ts';
import type { Document } from '../http/openapi-document.ts';
import { until } from '../support/until.ts';
import { Headwater } from './headwater.ts';

interface AsyncApi {
  readonly channels: {
    readonly exports: { readonly address: string; readonly messages: Record<string, unknown> };
  };
  readonly components: {
    readonly messages: Readonly<Record<string, { readonly name: string; readonly headers: object }>>;
    readonly schemas: { readonly ExportEvent: { readonly schema: object } };
  };
}

const ANNOUNCED = ['accepted', 'started', 'file-ready', 'completed', 'cancelled', 'failed'];

describe('the API documents of a running service', function () {
  this.timeout(240_000);
  let headwater: Headwater;
  let api: OpenApiDocument;
  let topic: AsyncApi;

  before(async () => {
    headwater = await Headwater.make(false);
    const rows = [1, 2, 3].map(
      (n) => `('Patient', 'p${n}', 1, now(), '{"resourceType":"Patient","id":"p${n}"}')`,
    );
    await headwater.pool.query(
      `INSERT INTO resource (type, id, version, last_updated, body) VALUES ${rows.join(', ')}`,
    );
    await headwater.startServing();
    await headwater.startCapture();
    const { publicUrl } = headwater.settings;
    api = new OpenApiDocument((await (await fetch(`${publicUrl}/openapi.json`)).json()) as Document);
    topic = (await (await fetch(`${publicUrl}/asyncapi.json`)).json()) as AsyncApi;
  });

  after(() => headwater?.remove());

  async function ask(url: string, method = 'GET'): Promise<Response> {
    const headers = { accept: 'application/fhir+json', prefer: 'respond-async' };
    const response = await fetch(url, { method, headers });
    await api.check(method, response);
    return response;
  }

  /** Until the export has ended. */
  async function follow(kickOff: string): Promise<{ statusUrl: string; ended: Response }> {
    const accepted = await ask(headwater.base + kickOff);
    assert.equal(accepted.status, 202);
    const statusUrl = accepted.headers.get('content-location') ?? '';
    for (;;) {
      const ended = await ask(statusUrl);
      if (ended.status !== 202) return { statusUrl, ended };
      await delay(20); // there is no event for a client to wait for
    }
  }

  it('describes in OpenAPI every answer of exports that complete, are cancelled or fail', async () => {
    const { statusUrl, ended } = await follow('/$export');
    assert.equal(ended.status, 200);
    const { output } = (await ended.json()) as Manifest;
    assert.ok(output.length > 0);
    for (const { url } of output) assert.equal((await ask(url)).status, 200);
    assert.equal((await ask(statusUrl, 'DELETE')).status, 202);
    assert.equal((await ask(statusUrl)).status, 404);
    assert.equal((await ask(`${headwater.base}/Group/unknown/$export`)).status, 404);
    for (const path of ['/healthz', '/readyz', '/metrics', '/fhir/metadata'])
      assert.equal((await ask(headwater.settings.publicUrl + path)).status, 200);
  });

  it('describes in AsyncAPI every event, with its headers and its schema in the registry', async () => {
    const { log, settings } = headwater;
    const { messages, schemas } = topic.components;
    const received: KafkaMessage[] = [];
    const consumer = log.kafka.consumer({ groupId: `${settings.topicPrefix}.subscriber` });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic.channels.exports.address], fromBeginning: true });
    await consumer.run({ eachMessage: ({ message }) => Promise.resolve(void received.push(message)) });
    const announced = (): string[] => received.map(({ headers }) => textsOf(headers)['ce_type'] ?? '');
    await until('every kind of event', () =>
      ANNOUNCED.every((kind) => announced().includes(`headwater.export.${kind}`)),
    );
    await consumer.disconnect();

    const ajv = new Ajv();
    ajvFormats.default(ajv);
    const record = avro.Type.forSchema(schemas.ExportEvent.schema as avro.Schema);
    for (const { key, value, headers } of received) {
      const texts = textsOf(headers);
      const message = Object.values(messages).find(({ name }) => name === texts['ce_type']);
      assert.ok(message, texts['ce_type']);
      assert.ok(ajv.validate(message.headers, texts), `${message.name}: ${ajv.errorsText()}`);
      assert.ok(value && value[0] === 0);
      // Throws unless the bytes are one such record and nothing more.
      const { jobId, kind, manifest } = record.fromBuffer(value.subarray(5)) as Record<string, string>;
      assert.equal(jobId, texts['ce_subject']);
      assert.equal(jobId, key?.toString());
      assert.equal(`headwater.export.${String(kind).replace('_', '-')}`, message.name);
      assert.equal(manifest !== null, kind === 'completed');
      assert.deepEqual(await registered(value.readInt32BE(1)), record.schema({ exportAttrs: true }));
    }
  });

  async function registered(id: number): Promise<unknown> {
    const response = await fetch(`${headwater.settings.registryUrl}/schemas/ids/${id}`);
    const { schema } = (await response.json()) as { schema: string };
    // The registry writes schemas in its own words.
    return avro.Type.forSchema(JSON.parse(schema) as avro.Schema).schema({ exportAttrs: true });
  }
});

function textsOf(headers: IHeaders = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
