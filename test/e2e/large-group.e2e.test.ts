import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { lsn, stamp } from '../../src/base/positions.ts';
import { changesOf } from '../../src/capture/change.ts';
import type { SourceRow } from '../../src/capture/presets/source-row.ts';
import type { Manifest } from '../../src/manifest/manifest.ts';
import { Headwater } from './headwater.ts';
import { manifestOnceComplete } from './one-export.ts';

describe('a Group of very many members', function () {
  this.timeout(300_000);
  let headwater: Headwater;

  before(async () => {
    headwater = await Headwater.make(false, undefined, { HEADWATER_MAX_RESOURCE_BYTES: '64MiB' });
    await headwater.startServing();
    await write('loaded', bodyOf('loaded', 500_000, 'a'));
    await headwater.startCapture();
  });

  after(() => headwater?.remove());

  it('loads and exports a group of 500 000 members, 44 MB', async () => {
    assert.deepEqual(await exported(), new Map([['loaded', sha256(bodyOf('loaded', 500_000, 'a'))]]));
  });

  it('follows and exports the replacement of 500 000 members', async () => {
    await write('loaded', bodyOf('loaded', 500_000, 'b'));
    assert.equal((await exported()).get('loaded'), sha256(bodyOf('loaded', 500_000, 'b')));
  });

  it('answers requests while 200 000 members are replaced', async () => {
    const [old, body] = [bodyOf('followed', 200_000, 'a'), bodyOf('followed', 200_000, 'b')];
    await write('followed', old);
    assert.equal((await exported()).get('followed'), sha256(old));
    const inOnePiece = timeAtOnce(old, body);
    await headwater.pool.query(`DELETE FROM resource WHERE id = 'loaded'`);
    const stop = new AbortController();
    const answers = answerTimes(stop.signal);
    const loop = monitorEventLoopDelay({ resolution: 5 });
    await write('followed', body);
    loop.enable();
    const begun = performance.now();
    const manifest = await manifestNow();
    const took = performance.now() - begun;
    loop.disable();
    stop.abort();
    const times = (await answers).sort((a, b) => a - b);
    const p99 = times[Math.floor(times.length * 0.99)] ?? 0;
    const late = loop.percentile(99) / 1e6;
    console.log(
      `      exported after ${took.toFixed(0)} ms; HTTP p99 ${p99.toFixed(0)} ms of ${times.length}, event loop p99 ${late.toFixed(0)} ms, max ${(loop.max / 1e6).toFixed(0)} ms; reading in one piece: ${inOnePiece.toFixed(0)} ms`,
    );
    assert.equal((await linesOf(manifest)).get('followed'), sha256(body));
    assert.ok(late < Math.max(200, inOnePiece / 3), `${late} ms`);
  });

  async function write(id: string, body: string): Promise<void> {
    await headwater.pool.query(
      `INSERT INTO resource (type, id, version, last_updated, body) VALUES ('Group', $1, 1, now(), $2)
       ON CONFLICT (type, id) DO UPDATE SET version = resource.version + 1, last_updated = now(), body = excluded.body`,
      [id, body],
    );
  }

  async function manifestNow(): Promise<Manifest> {
    const headers = { accept: 'application/fhir+json', prefer: 'respond-async' };
    const response = await fetch(`${headwater.base}/$export?_type=Group`, { headers });
    assert.equal(response.status, 202, await response.text());
    const manifest = await manifestOnceComplete(response.headers.get('content-location') ?? '');
    assert.deepEqual(manifest.error, []);
    return manifest;
  }

  async function exported(): Promise<Map<string, string>> {
    return linesOf(await manifestNow());
  }

  /** Of each Group the hash of its line. */
  async function linesOf(manifest: Manifest): Promise<Map<string, string>> {
    const lines = new Map<string, string>();
    for (const { url } of manifest.output) {
      const text = await (await fetch(url)).text();
      for (const line of text.split('\n').filter((one) => one !== '')) {
        const { id } = JSON.parse(line) as { id: string };
        lines.set(id, sha256(line));
      }
    }
    return lines;
  }

  /** Of requests one after the other, in ms. */
  async function answerTimes(signal: AbortSignal): Promise<number[]> {
    const times: number[] = [];
    while (!signal.aborted) {
      const begun = performance.now();
      await (await fetch(`${headwater.base}/metadata`)).arrayBuffer();
      times.push(performance.now() - begun);
      await delay(5);
    }
    return times;
  }
});

function bodyOf(id: string, members: number, version: string): string {
  const member = Array.from({ length: members }, (_, i) => ({
    entity: { reference: `Patient/${version}0000000-0000-4000-8000-${String(i).padStart(12, '0')}` },
    inactive: false,
  }));
  return JSON.stringify({ resourceType: 'Group', id, type: 'person', actual: true, member });
}

function timeAtOnce(old: string, body: string): number {
  const row = (text: string): SourceRow => ({
    type: 'Group',
    id: 'followed',
    version: '1',
    lastUpdated: 1,
    body: Buffer.from(text),
    deleted: false,
  });
  const begun = performance.now();
  changesOf(row(old), row(body), { stamp: stamp(1), lsn: lsn(0n) }, { maxBytes: 64 << 20 });
  return performance.now() - begun;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
