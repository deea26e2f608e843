import assert from 'node:assert/strict';
import { HeadwaterError } from '../../src/base/errors.ts';
import { stamp } from '../../src/base/positions.ts';
import type { Manifest } from '../../src/manifest/manifest.ts';
import { assertOutcome, runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

describe('export status', () => {
  let gateway: RunningGateway;
  let statusUrl: string;
  let jobId: string;
  beforeEach(async () => {
    gateway = await runGateway();
    statusUrl = (await gateway.ask('/fhir/$export')).headers.get('content-location') ?? '';
    ({ jobId } = gateway.jobs.only);
  });
  afterEach(() => gateway.stop());

  it('is 202 with X-Progress and whole seconds of Retry-After until the end', async () => {
    for (const [progress, says] of [
      [undefined, /^0% /],
      [0, /^0% /],
      [0.4249, /^42% /],
      [1, /^99% /],
    ] as const) {
      if (progress !== undefined) gateway.jobs.set(jobId, { state: 'running', progress });
      const response = await gateway.ask(statusUrl);
      assert.equal(response.status, 202);
      assert.match(response.headers.get('x-progress') ?? '', says);
      assert.ok((response.headers.get('x-progress') ?? '').length < 100);
      assert.equal(response.headers.get('retry-after'), '1');
      assert.equal(await response.text(), '');
    }
  });

  it('asks for less frequent polling the longer it takes', async () => {
    for (const [minutes, seconds] of [
      [1, '6'],
      [60, '60'],
    ] as const) {
      gateway.time.ahead = minutes * 60_000;
      const retryAfter = (await gateway.ask(statusUrl)).headers.get('retry-after');
      assert.ok(retryAfter === seconds || retryAfter === String(Number(seconds) + 1), String(retryAfter));
    }
  });

  it('is the manifest when complete, with Expires of the file URLs', async () => {
    const endedAt = Date.now();
    const file = {
      kind: 'output',
      type: 'Patient',
      key: 'f/Patient-0001-1.ndjson',
      count: 2,
      bytes: 9,
      sha256: 'aa',
    } as const;
    gateway.jobs.set(jobId, {
      state: 'completed',
      transactionTime: stamp(1_700_000_000_007),
      endedAt,
      files: [file],
    });
    const response = await gateway.ask(statusUrl, { headers: { accept: 'application/json' } });
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
    const expires = response.headers.get('expires') ?? '';
    assert.match(expires, /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/);
    assert.ok(Math.abs(Date.parse(expires) - (endedAt + 3_600_000)) < 5_000);
    const manifest = (await response.json()) as Manifest;
    assert.equal(manifest.transactionTime, '2023-11-14T22:13:20.007Z');
    assert.ok(
      manifest.output[0]?.url.startsWith(`${gateway.url}/fhir/$export-file/f/Patient-0001-1.ndjson?`),
    );
  });

  it('expires with the files when they go before the URLs would', async () => {
    gateway.jobs.set(jobId, {
      state: 'completed',
      transactionTime: stamp(1),
      endedAt: Date.now() - 86_400_000 + 60_000,
    });
    const expires = (await gateway.ask(statusUrl)).headers.get('expires') ?? '';
    assert.ok(Math.abs(Date.parse(expires) - (Date.now() + 60_000)) < 5_000);
  });

  const failures = [
    ['not-found', 404, 'there is no Group/g'],
    ['bad-request', 400, 'Patient/x is no member of Group/g'],
    ['deadline', 500, 'no progress for 10 minutes'],
    ['limit', 500, 'too large'],
  ] as const;
  for (const [code, status, message] of failures) {
    it(`is ${status} with the reason when the export failed by ${code}`, async () => {
      gateway.jobs.set(jobId, { state: 'failed', failure: { code, message } });
      await assertOutcome(await gateway.ask(statusUrl), status, new RegExp(message));
    });
  }

  it('is 500 without insides when the export failed by an error of ours', async () => {
    const message = "Cannot read properties of undefined (reading 'x')";
    gateway.jobs.set(jobId, { state: 'failed', failure: { code: 'internal', message } });
    await assertOutcome(await gateway.ask(statusUrl), 500, new RegExp(`^(?=.*${jobId})((?!undefined).)*$`));
  });

  it('is 500 without the address of a server that an export failed for', async () => {
    const message = 'Kafka does not answer at kafka-3.internal:9092';
    gateway.jobs.set(jobId, { state: 'failed', failure: { code: 'unavailable', message } });
    await assertOutcome(await gateway.ask(statusUrl), 500, /^((?!kafka|9092).)*$/);
  });

  it('is 503 and transient, not failed, when only the asking failed', async () => {
    gateway.jobs.failure = new HeadwaterError('unavailable', 'connect ECONNREFUSED');
    const response = await gateway.ask(statusUrl);
    assert.match(response.headers.get('retry-after') ?? '', /^\d+$/);
    assert.match(await response.clone().text(), /"code":"transient"/);
    await assertOutcome(response, 503, /try again/);
    gateway.jobs.failure = undefined;
    assert.equal((await gateway.ask(statusUrl)).status, 202);
  });

  it("is 404 when there is no such job, or it is another client's, expired or cancelled", async () => {
    await assertOutcome(await gateway.ask('/fhir/$export-status/job-7'), 404, /no such export/);
    await assertOutcome(
      await gateway.ask(`/fhir/$export-status/${'x'.repeat(5_000)}`),
      404,
      /no such export/,
    );
    await assertOutcome(await gateway.ask('/fhir/$export-status/%27;--'), 404, /no such export/);
    for (const change of [
      { state: 'expired' },
      { state: 'cancelled' },
      { state: 'completed', clientId: '10.0.0.1' },
    ] as const) {
      gateway.jobs.set(jobId, change);
      await assertOutcome(await gateway.ask(statusUrl), 404, /no such export/);
    }
    await assertOutcome(await gateway.ask(statusUrl, { method: 'DELETE' }), 404, /no such export/);
  });

  for (const state of ['accepted', 'running', 'completed', 'failed'] as const) {
    it(`takes DELETE with 202 when ${state}`, async () => {
      gateway.jobs.set(jobId, { state, transactionTime: stamp(1), endedAt: Date.now() });
      await assertOutcome(await gateway.ask(statusUrl, { method: 'DELETE' }), 202, /removed/);
      await assertOutcome(await gateway.ask(statusUrl), 404, /cancelled/);
    });
  }

  it('is 404 at once after DELETE answered 202, and stays so; a second DELETE is 404', async () => {
    await assertOutcome(await gateway.ask(statusUrl, { method: 'DELETE' }), 202, /removed/);
    for (const state of ['running', 'completed', 'failed', 'cancelled'] as const) {
      gateway.jobs.set(jobId, { state, transactionTime: stamp(1), endedAt: Date.now() });
      await assertOutcome(await gateway.ask(statusUrl), 404, /cancelled/);
    }
    await assertOutcome(await gateway.ask(statusUrl), 404, /cancelled/);
    await assertOutcome(await gateway.ask(statusUrl, { method: 'DELETE' }), 404, /cancelled/);
  });
});
