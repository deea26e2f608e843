import assert from 'node:assert/strict';
import { HeadwaterError } from '../../src/base/errors.ts';
import { Supervisor } from '../../src/base/service.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const refusal = (): HeadwaterError => new HeadwaterError('refused', 'correct HEADWATER_KAFKA_SASL_PASSWORD');

/** Runs a service that throws the errors one after the other, ready first when it says so, then works until `stop`. */
async function supervise(
  errors: readonly Error[],
  options: { readonly ready: boolean; readonly patience?: number },
): Promise<Supervisor> {
  const stop = new AbortController();
  const left = [...errors];
  const supervisor = new Supervisor(
    'service',
    quiet,
    (health) => ({
      name: 'service',
      async run() {
        if (options.ready) health.ready();
        const error = left.shift();
        if (error) throw error;
        stop.abort();
      },
    }),
    options.patience,
  );
  await supervisor.run(stop.signal);
  return supervisor;
}

describe('a supervisor', () => {
  it('ends with the error when a server refuses the credentials at the start', async () => {
    await assert.rejects(supervise([refusal()], { ready: false }), /HEADWATER_KAFKA_SASL_PASSWORD/);
  });

  it('tries again when a service that has worked is refused for a while', async () => {
    const { health } = await supervise([refusal(), refusal()], { ready: true });
    assert.equal(health.failures, 2);
  });

  it('ends with the error when a service that has worked is refused for longer than its patience', async () => {
    await assert.rejects(
      supervise([refusal(), refusal(), refusal()], { ready: true, patience: 1 }),
      /HEADWATER_KAFKA_SASL_PASSWORD/,
    );
  });

  it('ends at once for a wrong setting, whether or not the service has worked', async () => {
    const wrong = new HeadwaterError('bad-config', 'port 80 is in use');
    await assert.rejects(supervise([wrong], { ready: true }), /port 80/);
  });

  it('tries again for whatever a person need not change', async () => {
    const errors = [
      new HeadwaterError('unavailable', 'away'),
      new HeadwaterError('gone', 'deleted'),
      new Error('a bug'),
    ];
    const { health } = await supervise(errors, { ready: false });
    assert.equal(health.failures, 3);
  });
});
