import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { systemClock } from '../../src/base/clock.ts';
import { HeadwaterError } from '../../src/base/errors.ts';
import { kickOff, waitForManifest } from '../../src/client/export-client.ts';
import type { ReceivedFile, ReceivedManifest } from '../../src/client/received-manifest.ts';
import { bodyOf, MARKER } from './history.ts';
import type { History } from './history.ts';
import { until } from '../support/until.ts';

const PATIENCE = 120_000;

/** An export as its client received it. */
export interface Exported {
  readonly statusUrl: string;
  readonly transactionTime: string;
  /** Key of a resource to its line. */
  readonly output: ReadonlyMap<string, string>;
  readonly deleted: ReadonlySet<string>;
  /** Name of a file to its SHA-256. */
  readonly sums: ReadonlyMap<string, string>;
}

export interface Request {
  readonly server: string;
  readonly since?: string;
  readonly types?: readonly string[];
}

/** Kicks off an export and tries again while servers are away. Returns the status URL. */
export function submit(request: Request): Promise<string> {
  return until('a kick-off', () => kickOff(request, AbortSignal.timeout(PATIENCE)), { timeoutMs: PATIENCE });
}

/** The manifest of a job that must complete in spite of kills. Throws if the job fails or hangs. */
export async function manifestOf(statusUrl: string): Promise<ReceivedManifest> {
  const options = { signal: AbortSignal.timeout(PATIENCE), clock: systemClock, pollMs: 50 };
  const answer = await until(
    `a manifest at ${statusUrl}`,
    async () => {
      try {
        return { manifest: await waitForManifest(statusUrl, options) };
      } catch (error) {
        if (error instanceof HeadwaterError && error.code === 'unavailable') return undefined; // the gateway is away
        return { error };
      }
    },
    { timeoutMs: PATIENCE },
  );
  if (answer.manifest) return answer.manifest;
  throw answer.error;
}

export async function exportNow(request: Request): Promise<Exported> {
  return download(await submit(request));
}

/** Waits for the job's end and downloads its files. Checks that no line repeats and that files match the manifest. */
export async function download(statusUrl: string): Promise<Exported> {
  const manifest = await manifestOf(statusUrl);
  assert.deepEqual(manifest.error, [], 'nothing is missing');
  const output = new Map<string, string>();
  const deleted = new Set<string>();
  const sums = new Map<string, string>();
  for (const file of manifest.output) {
    for (const line of await linesOf(file, sums)) {
      const { resourceType, id } = JSON.parse(line) as { resourceType: string; id: string };
      const key = `${resourceType}/${id}`;
      assert.ok(!output.has(key), `${key} is there twice`);
      output.set(key, line);
    }
  }
  for (const file of manifest.deleted) {
    for (const line of await linesOf(file, sums)) {
      const bundle = JSON.parse(line) as { entry: { request: { url: string } }[] };
      for (const { request } of bundle.entry) {
        assert.ok(!deleted.has(request.url), `${request.url} is deleted twice`);
        assert.ok(!output.has(request.url), `${request.url} is in output and in deleted`);
        deleted.add(request.url);
      }
    }
  }
  return { statusUrl, transactionTime: manifest.transactionTime, output, deleted, sums };
}

async function linesOf(file: ReceivedFile, sums: Map<string, string>): Promise<string[]> {
  const content = Buffer.from(await (await fetch(file.url)).arrayBuffer());
  const sum = createHash('sha256').update(content).digest('hex');
  assert.equal(sum, file.extension?.sha256, 'the file is as the manifest says');
  sums.set(new URL(file.url).pathname.split('/').at(-1) ?? '', sum);
  const lines = content.toString().split('\n').slice(0, -1);
  assert.equal(lines.length, file.count);
  return lines;
}

/** I1: the export is the state after one of the transactions. Returns the number of this transaction. */
export function assertSnapshot(
  { output, deleted }: Exported,
  history: History,
  types?: readonly string[],
): number {
  const n = markerOf(output) ?? 0;
  const state = history.stateAfter(n);
  const wanted = new Map([...state].filter(([key]) => types?.includes(key.split('/')[0] ?? '') ?? true));
  assertLines(output, wanted, `after transaction ${n}`);
  assert.equal(deleted.size, 0);
  return n;
}

/** I3: the export holds exactly the changes after transaction `from`, up to its cut. Returns the number of the cut. */
export function assertChanges(exported: Exported, history: History, from: number): number {
  const to = markerOf(exported.output) ?? from;
  const changes = history.changes(from, to);
  const where = `from ${from} to ${to}`;
  const living = [...changes].flatMap(([key, version]) =>
    version === null ? [] : [[key, version] as const],
  );
  assertLines(exported.output, new Map(living), where);
  const gone = [...changes].flatMap(([key, version]) => (version === null ? [key] : []));
  assertSame(exported.deleted, new Set(gone), `deleted ${where}`);
  return to;
}

/** The state of a client that had `before` and applied the export to it. */
export function applied(
  before: ReadonlyMap<string, string>,
  { output, deleted }: Exported,
): Map<string, string> {
  const after = new Map([...before, ...output]);
  for (const key of deleted) after.delete(key);
  return after;
}

export function assertLines(
  lines: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, number>,
  where: string,
): void {
  assertSame(new Set(lines.keys()), new Set(wanted.keys()), where);
  const wrong = [...wanted].filter(([key, version]) => lines.get(key) !== bodyOf(key, version));
  const shown = wrong
    .slice(0, 3)
    .map(([key, version]) => `${key} v${version}: ${lines.get(key)?.slice(0, 120)}`);
  assert.equal(wrong.length, 0, `${wrong.length} resources differ ${where}: ${shown.join('; ')}`);
}

function assertSame(actual: ReadonlySet<string>, expected: ReadonlySet<string>, where: string): void {
  const missing = [...expected].filter((key) => !actual.has(key));
  const extra = [...actual].filter((key) => !expected.has(key));
  const text = `${missing.length} missing (${missing.slice(0, 5).join(', ')}), ${extra.length} too many (${extra.slice(0, 5).join(', ')})`;
  assert.ok(missing.length + extra.length === 0, `${where}: ${text}`);
}

function markerOf(output: ReadonlyMap<string, string>): number | undefined {
  const line = output.get(MARKER);
  return line === undefined
    ? undefined
    : Number((JSON.parse(line) as { meta: { versionId: string } }).meta.versionId);
}
