import assert from 'node:assert/strict';
import { sharedStack } from '../support/stack.ts';
import { Deployment, OTHERS } from './deployment.ts';
import { exportNow, submit } from './exported.ts';
import { SourceWriter } from './source-writer.ts';
import { until } from '../support/until.ts';

const PATIENCE = { timeoutMs: 150_000 };

describe('a resource topic that is deleted', function () {
  this.timeout(400_000);
  let headwater: Deployment;
  let writer: SourceWriter;

  before(async () => {
    headwater = await Deployment.create(sharedStack());
    writer = await SourceWriter.create(headwater.databaseUrl);
    await writer.bulk('Patient', 'p', 20);
  });

  after(async () => {
    await writer?.close();
    await headwater?.remove();
  });

  it('fails an earlier planned export, and the error and /readyz name the topic', async () => {
    const worker = headwater.start(['worker']);
    const others = headwater.start(['capture', ...OTHERS.filter((role) => role !== 'worker')]);
    await exportNow({ server: headwater.server });
    await worker.kill();
    const statusUrl = await submit({ server: headwater.server });
    const jobId = statusUrl.split('/').at(-1) ?? '';
    await others.logged(new RegExp(`"jobId":"${jobId}".*export planned`));
    await headwater.deleteTopic(headwater.log.names.resource('Patient'));
    const again = headwater.start(['worker']);

    const failed = await until(
      'the job to fail',
      async () => {
        const answer = await fetch(statusUrl);
        return answer.status === 202 ? undefined : { status: answer.status, text: await answer.text() };
      },
      PATIENCE,
    );
    assert.equal(failed.status, 500, failed.text);
    assert.match(failed.text, /no longer holds what this export needs/);
    await again.logged(/topic .*resources\.Patient was deleted/);

    await until(
      '/readyz to tell what to run',
      async () => {
        const answer = await fetch(`${headwater.settings.publicUrl}/readyz`);
        return answer.status === 503 && /Patient was deleted.*headwater reload/.test(await answer.text());
      },
      PATIENCE,
    );
  });
});
