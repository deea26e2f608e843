import assert from 'node:assert/strict';
import { runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

describe('GET /admin/storage/health', () => {
  let gateway: RunningGateway;
  before(async () => {
    gateway = await runGateway();
  });
  after(() => gateway.stop());

  it('checks the store for a request of the same machine', async () => {
    const answer = await gateway.ask('/admin/storage/health');
    assert.equal(answer.status, 200);
    const report = (await answer.json()) as { status: string; type: string };
    assert.deepEqual([report.status, report.type], ['ok', 'fs']);
  });

  it('is 503 with the step that failed', async () => {
    const { directory } = gateway.checked;
    gateway.checked.directory = import.meta.filename;
    const answer = await gateway.ask('/admin/storage/health');
    gateway.checked.directory = directory;
    assert.equal(answer.status, 503);
    assert.equal(((await answer.json()) as { step: string }).step, 'write');
  });

  it('is not there for a request that a proxy forwards', async () => {
    for (const header of ['x-forwarded-for', 'forwarded', 'via']) {
      const answer = await gateway.ask('/admin/storage/health', { headers: { [header]: '192.0.2.1' } });
      assert.equal(answer.status, 404, header);
      assert.equal(((await answer.json()) as { resourceType: string }).resourceType, 'OperationOutcome');
    }
  });
});
