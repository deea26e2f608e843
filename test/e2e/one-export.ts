import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import type { Manifest, ManifestFile } from '../../src/manifest/manifest.ts';
import { PATIENCE_MS } from '../support/until.ts';

export interface Asked {
  readonly types: readonly string[];
  readonly since: string | undefined;
  readonly gzip: boolean;
  readonly post: boolean;
}

export interface Accepted {
  readonly jobId: string;
  readonly statusUrl: string;
  /** The request URL, which the manifest must repeat. */
  readonly requestUrl: string;
}

/** The content that a client receives from one export. */
export interface Received {
  readonly manifest: Manifest;
  /** `Type sha256` of each line of output. */
  readonly output: readonly string[];
  /** `Type/id` */
  readonly deleted: readonly string[];
  /** `Type/id` */
  readonly errors: readonly string[];
  /** Diagnostics of the warnings. */
  readonly warnings: readonly string[];
}

export async function kickOff(base: string, asked: Asked): Promise<Accepted> {
  const parameters = [
    ...(asked.types.length > 0 ? [['_type', asked.types.join(',')] as const] : []),
    ...(asked.since === undefined ? [] : [['_since', asked.since] as const]),
    ...(asked.gzip ? [['_outputFormat', 'application/fhir+ndjson+gzip'] as const] : []),
  ];
  const url = new URL(`${base}/$export`);
  const headers: Record<string, string> = { accept: 'application/fhir+json', prefer: 'respond-async' };
  let body: string | undefined;
  if (asked.post) {
    headers['content-type'] = 'application/fhir+json';
    const parameter = parameters.map(([name, value]) => ({ name, valueString: value }));
    body = JSON.stringify({ resourceType: 'Parameters', parameter });
  } else for (const [name, value] of parameters) url.searchParams.set(name, value);
  const response = await fetch(url, {
    method: asked.post ? 'POST' : 'GET',
    headers,
    ...(body !== undefined && { body }),
  });
  assert.equal(response.status, 202, await response.text());
  const statusUrl = response.headers.get('content-location') ?? '';
  return { jobId: statusUrl.split('/').at(-1) ?? '', statusUrl, requestUrl: url.href };
}

export async function cancel(statusUrl: string): Promise<void> {
  assert.equal((await fetch(statusUrl, { method: 'DELETE' })).status, 202);
  assert.equal((await fetch(statusUrl)).status, 404);
}

export async function manifestOnceComplete(statusUrl: string): Promise<Manifest> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const response = await fetch(statusUrl);
    const text = await response.text();
    if (response.status === 200) return JSON.parse(text) as Manifest;
    assert.equal(response.status, 202, text);
    assert(
      Date.now() < deadline,
      `after ${PATIENCE_MS / 1000} s the export is at ${response.headers.get('x-progress')}`,
    );
    await delay(15); // a client has no event to wait for
  }
}

export async function receive(manifest: Manifest, gzip: boolean): Promise<Received> {
  const output: string[] = [];
  const deleted: string[] = [];
  const errors: string[] = [];
  const warnings: string[] = [];
  for (const file of manifest.output)
    for (const line of await linesOf(file, gzip)) output.push(`${file.type} ${sha256(line)}`);
  for (const file of manifest.deleted ?? []) {
    assert.equal(file.type, 'Bundle');
    for (const line of await linesOf(file, gzip)) deleted.push(deletedKey(line));
  }
  for (const file of manifest.error) {
    assert.equal(file.type, 'OperationOutcome');
    for (const line of await linesOf(file, gzip)) {
      const { severity, diagnostics } = issueOf(line);
      if (severity === 'warning') warnings.push(diagnostics);
      else errors.push(diagnostics.split(' ')[0] ?? '');
    }
  }
  return { manifest, output, deleted, errors, warnings };
}

async function linesOf(file: ManifestFile, gzip: boolean): Promise<Buffer[]> {
  const response = await fetch(file.url, { headers: { 'accept-encoding': 'identity' } });
  assert.equal(response.status, 200, file.url);
  const stored = Buffer.from(await response.arrayBuffer());
  assert.equal(stored.length, file.extension.bytes, `bytes of ${file.url}`);
  assert.equal(sha256(stored), file.extension.sha256, `sha256 of ${file.url}`);
  const data = gzip ? gunzipSync(stored) : stored;
  const lines: Buffer[] = [];
  for (let at = 0; at < data.length;) {
    const end = data.indexOf(10, at);
    assert(end >= 0, `the last line of ${file.url} is not ended`);
    lines.push(data.subarray(at, end));
    at = end + 1;
  }
  assert.equal(lines.length, file.count, `count of ${file.url}`);
  assert(lines.length > 0, `${file.url} is empty`);
  return lines;
}

interface Issue {
  readonly severity: string;
  readonly diagnostics: string;
}

function deletedKey(line: Buffer): string {
  const bundle = JSON.parse(line.toString()) as {
    resourceType: string;
    type: string;
    entry: { request: { method: string; url: string } }[];
  };
  const url = bundle.entry[0]?.request.url ?? '';
  const request = { method: 'DELETE', url };
  assert.deepEqual(bundle, { resourceType: 'Bundle', type: 'transaction', entry: [{ request }] });
  return url;
}

function issueOf(line: Buffer): Issue {
  const outcome = JSON.parse(line.toString()) as { resourceType: string; issue: Issue[] };
  assert.equal(outcome.resourceType, 'OperationOutcome');
  const [issue] = outcome.issue;
  assert(issue);
  return issue;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
