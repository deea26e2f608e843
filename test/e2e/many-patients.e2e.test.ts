import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { offset } from '../../src/base/positions.ts';
import { Headwater } from './headwater.ts';
import { PATIENCE_MS } from '../support/until.ts';
import { manifestOnceComplete } from './one-export.ts';
import { assertSameAgain } from './same-again.ts';

const NAMED = 100_000;
/** Who is in the source as well. */
const OTHERS = 50;

/** The longest that R4 allows. */
const ID = `lpad(i::text, 64, 'p')`;
const idOf = (i: number): string => String(i).padStart(64, 'p');

describe('an export of 100 000 patients that the request names', function () {
  this.timeout(2 * PATIENCE_MS);
  let headwater: Headwater;

  before(async () => {
    headwater = await Headwater.make(false);
    await headwater.pool.query(`
      INSERT INTO resource SELECT 'Patient', ${ID}, 1, now(), '{"resourceType":"Patient","id":"' || ${ID} || '"}'
        FROM generate_series(1, ${NAMED + OTHERS}) i;
      INSERT INTO resource SELECT 'Observation', 'o' || i, 1, now(),
          '{"resourceType":"Observation","id":"o' || i || '","subject":{"reference":"Patient/' || ${ID} || '"}}'
        FROM generate_series(${NAMED - OTHERS + 1}, ${NAMED + OTHERS}) i`);
    await headwater.startServing();
    await headwater.startCapture();
  });

  after(() => headwater.remove());

  afterEach(function () {
    if (this.currentTest?.state === 'failed') console.log(headwater.trouble.slice(-20).join('\n'));
  });

  function kickOff(ids: readonly string[]): Promise<Response> {
    const parameter = ids.map((id) => ({
      name: 'patient',
      valueReference: { reference: `Patient/${id}` },
    }));
    return fetch(`${headwater.base}/Patient/$export`, {
      method: 'POST',
      headers: { 'content-type': 'application/fhir+json', prefer: 'respond-async' },
      body: JSON.stringify({ resourceType: 'Parameters', parameter }),
    });
  }

  it('returns only their resources, and its tasks do not carry the names', async () => {
    const names = Array.from({ length: NAMED }, (_, i) => idOf(i + 1));
    const response = await kickOff(names);
    assert.equal(response.status, 202, await response.text());
    const url = response.headers.get('content-location') ?? '';
    const { output, request } = await manifestOnceComplete(url);
    assert.equal(request, `${headwater.base}/Patient/$export`);
    const ids = new Map<string | undefined, string[]>();
    for (const file of output) {
      const lines = (await (await fetch(file.url)).text()).trimEnd().split('\n');
      const list = ids.get(file.type) ?? [];
      for (const line of lines) list.push((JSON.parse(line) as { id: string }).id);
      ids.set(file.type, list);
    }
    assert.deepEqual(new Set(ids.get('Patient')), new Set(names));
    assert.equal(ids.get('Patient')?.length, NAMED);
    const observations = Array.from({ length: OTHERS }, (_, i) => `o${String(NAMED - OTHERS + 1 + i)}`);
    assert.deepEqual(ids.get('Observation')?.sort(), observations.sort());

    const jobId = url.split('/').at(-1) ?? '';
    const sizes = await sizesOfTasks(jobId);
    assert.ok(sizes.length > 3, `${String(sizes.length)} tasks`);
    assert.ok(Math.max(...sizes) < 5_000, `tasks of up to ${String(Math.max(...sizes))} bytes`);
    await assertSameAgain(headwater, jobId);
  });

  it('is a 404 that names the missing patient', async () => {
    const names = Array.from({ length: NAMED - 1 }, (_, i) => idOf(i + 1));
    const response = await kickOff([...names, 'nobody']);
    let text = await response.text();
    // The plan may take longer than the kick-off waits for it.
    if (response.status === 202) {
      const url = response.headers.get('content-location') ?? '';
      for (let status = 202; status === 202;) {
        const answer = await fetch(url);
        text = await answer.text();
        status = answer.status;
        if (status !== 202) assert.equal(status, 404, text);
        else await delay(50); // there is no event for a client to wait for
      }
    } else assert.equal(response.status, 404, text);
    assert.match(text, /there is no Patient\/nobody/);
  });

  async function sizesOfTasks(jobId: string): Promise<number[]> {
    const { log } = headwater;
    const sizes: number[] = [];
    for (const topic of Object.values(log.names.tasks)) {
      for (const [partition, to] of (await log.reader.ends(topic)).entries()) {
        const range = { topic, partition, from: offset(0), to };
        for await (const records of log.reader.read(range, AbortSignal.timeout(PATIENCE_MS)))
          for (const { key, value } of records)
            if (key.toString().startsWith(`${jobId}/`)) sizes.push(value.length);
      }
    }
    return sizes;
  }
});
