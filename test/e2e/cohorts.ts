import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { resources } from '../../topics/resources.ts';
import type { Manifest, ManifestFile } from '../../src/manifest/manifest.ts';
import type { Asked } from '../cohort/oracle.ts';
import type { Row, Write } from '../cohort/world.ts';
import type { Headwater } from './headwater.ts';
import type { Random } from './random.ts';

const PATIENCE_MS = 120_000;
/** kafkajs's ConfigResourceTypes.TOPIC, which it has in its types only. */
const TOPIC = 2;

/** A patient or group export as a client asks for it. */
export interface Request extends Asked {
  /** Of `Patient/[id]/$export`. */
  readonly alone?: string;
  readonly since?: string;
  readonly organized?: boolean;
}

/** What a client gets of it. */
export interface Outcome {
  readonly failed: 'not-found' | 'bad-request' | undefined;
  readonly transactionTime: string;
  /** File after file. */
  readonly output: readonly string[];
  readonly deleted: readonly string[];
  /** Diagnostics, after the severity. */
  readonly problems: readonly string[];
}

/** The source: rows as they are in the database, and as the oracle knows them. */
export class Source {
  readonly rows = new Map<string, Row>();
  readonly #client: pg.Client;
  readonly #random: Random;
  #version = 0;

  constructor(client: pg.Client, random: Random) {
    this.#client = client;
    this.#random = random;
  }

  /** One transaction. */
  async commit(writes: readonly Write[]): Promise<void> {
    await this.#client.query('BEGIN');
    for (const write of writes) await this.#write(write);
    await this.#client.query('COMMIT');
  }

  async #write({ type, id, resource }: Write): Promise<void> {
    if (resource === undefined) {
      const gone = this.#random.chance(0.5)
        ? 'DELETE FROM resource WHERE type = $1 AND id = $2'
        : 'UPDATE resource SET deleted = true WHERE type = $1 AND id = $2';
      await this.#client.query(gone, [type, id]);
      this.rows.delete(`${type}/${id}`);
      return;
    }
    const { trouble: _, ...whole } = resource; // here, everything can be exported
    const line = JSON.stringify({ resourceType: type, id, ...whole });
    await this.#client.query(
      `INSERT INTO resource (type, id, version, last_updated, body) VALUES ($1, $2, $3, now(), $4)
       ON CONFLICT (type, id) DO UPDATE SET version = $3, last_updated = now(), body = $4, deleted = false`,
      [type, id, ++this.#version, line],
    );
    this.rows.set(`${type}/${id}`, { type, id, line, resource: whole, readable: true, changedAt: 0 });
  }
}

/** In place of the status URL of an export that was refused at its kick-off. */
const REFUSED = 'refused: ';

/** Resolves to the status URL: from then on the cut is behind what was committed before. */
export async function request(base: string, one: Request, post: boolean): Promise<string> {
  const { group, alone, patients = [], types = [], since, organized } = one;
  const path =
    group === undefined ? (alone === undefined ? 'Patient' : `Patient/${alone}`) : `Group/${group}`;
  const listed = alone === undefined ? patients : [];
  const url = new URL(`${base}/${path}/$export`);
  const headers: Record<string, string> = { accept: 'application/fhir+json', prefer: 'respond-async' };
  let body: string | undefined;
  if (post) {
    headers['content-type'] = 'application/fhir+json';
    const parameter = [
      ...types.map((type) => ({ name: '_type', valueString: type })),
      ...listed.map((id) => ({ name: 'patient', valueReference: { reference: `Patient/${id}` } })),
      ...(since === undefined ? [] : [{ name: '_since', valueInstant: since }]),
      ...(organized ? [{ name: 'organizeOutputBy', valueString: 'Patient' }] : []),
    ];
    body = JSON.stringify({ resourceType: 'Parameters', parameter });
  } else {
    if (types.length > 0) url.searchParams.set('_type', types.join(','));
    if (listed.length > 0) url.searchParams.set('patient', listed.join(','));
    if (since !== undefined) url.searchParams.set('_since', since);
    if (organized) url.searchParams.set('organizeOutputBy', 'Patient');
  }
  const response = await fetch(url, { method: post ? 'POST' : 'GET', headers, ...(body && { body }) });
  const text = await response.text();
  if (response.status === 404 || response.status === 400) return `${REFUSED}${response.status}`;
  assert.equal(response.status, 202, text);
  return response.headers.get('content-location') ?? '';
}

export async function outcome(statusUrl: string): Promise<Outcome> {
  const nothing = { transactionTime: '', output: [], deleted: [], problems: [] };
  if (statusUrl.startsWith(REFUSED))
    return { failed: statusUrl === `${REFUSED}404` ? 'not-found' : 'bad-request', ...nothing };
  for (const deadline = Date.now() + PATIENCE_MS; ; await delay(20)) {
    const response = await fetch(statusUrl);
    const text = await response.text();
    if (response.status === 200)
      return { failed: undefined, ...(await download(JSON.parse(text) as Manifest)) };
    if (response.status === 404 || response.status === 400) {
      const { resourceType } = JSON.parse(text) as { resourceType: string };
      assert.equal(resourceType, 'OperationOutcome');
      return { failed: response.status === 404 ? 'not-found' : 'bad-request', ...nothing };
    }
    assert.equal(response.status, 202, text);
    assert(Date.now() < deadline, `the export is at ${response.headers.get('x-progress')}`);
  }
}

async function download(manifest: Manifest): Promise<Omit<Outcome, 'failed'>> {
  const output: string[] = [];
  const deleted: string[] = [];
  const problems: string[] = [];
  for (const file of manifest.output) {
    const lines = await linesOf(file, manifest.outputOrganizedBy !== undefined);
    const types = new Set(lines.map((line) => (JSON.parse(line) as { resourceType: string }).resourceType));
    if (file.type !== undefined) assert.deepEqual([...types], [file.type]);
    output.push(...lines);
  }
  for (const file of manifest.deleted ?? [])
    for (const line of await linesOf(file, false)) {
      const { entry } = JSON.parse(line) as { entry: { request: { url: string } }[] };
      deleted.push(entry[0]?.request.url ?? '');
    }
  for (const file of manifest.error)
    for (const line of await linesOf(file, false)) {
      const { issue } = JSON.parse(line) as { issue: { severity: string; diagnostics: string }[] };
      problems.push(`${issue[0]?.severity} ${issue[0]?.diagnostics}`);
    }
  return { transactionTime: manifest.transactionTime, output, deleted, problems };
}

async function linesOf(file: ManifestFile, organized: boolean): Promise<string[]> {
  const response = await fetch(file.url);
  assert.equal(response.status, 200, file.url);
  const text = await response.text();
  assert(text.endsWith('\n'), `the last line of ${file.url} is ended`);
  const lines = text.split('\n').slice(0, -1);
  const headers = organized
    ? lines.filter((line) => line.startsWith('{"resourceType":"Parameters"')).length
    : 0;
  assert.equal(lines.length - headers, file.count, `count of ${file.url}`);
  return lines;
}

/** Lets the broker take old versions away at once, of all types but those that it is declared to keep. */
export async function compactAtOnce({ log }: Headwater): Promise<void> {
  const entriesOf = (type: string): { name: string; value: string }[] => {
    const own = resources.config({ resourcePartitions: 1, replicationFactor: 1, compactionLagMs: 0 }, type);
    const eager = { ...own, 'segment.ms': '500', 'min.cleanable.dirty.ratio': '0' };
    return Object.entries(eager).map(([name, value]) => ({ name, value }));
  };
  const types = await log.admin.listResourceTypes();
  const altered = types.map((type) => ({
    type: TOPIC,
    name: log.names.resource(type),
    configEntries: entriesOf(type),
  }));
  const admin = log.kafka.admin();
  await admin.connect();
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- the enum is not there at run time
  await admin.alterConfigs({ validateOnly: false, resources: altered });
  await admin.disconnect();
}
