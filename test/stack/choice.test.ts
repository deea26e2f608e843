import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { addressesFromEnvironment, testEnvironment } from '../../src/stack/environment.ts';
import { forcedKind, startStack } from '../../src/stack/stack.ts';

const addresses = {
  postgresUrl: 'postgresql://u:p@db:5432/app',
  kafkaBrokers: ['a:9092', 'b:9092'],
  registryUrl: 'http://r:8080/apis/ccompat/v7',
};

describe('which servers the stack uses', () => {
  it('is those of the environment when all three addresses are set', () => {
    const env = {
      HEADWATER_SOURCE_URL: addresses.postgresUrl,
      HEADWATER_KAFKA_BROKERS: 'a:9092, b:9092',
      HEADWATER_REGISTRY_URL: `${addresses.registryUrl}/`,
    };
    assert.deepEqual(addressesFromEnvironment('people', env), addresses);
  });

  it('is its own when none is set', () => {
    assert.equal(addressesFromEnvironment('people', {}), undefined);
  });

  it('is an error that names what is missing when only some are set', () => {
    assert.throws(
      () => addressesFromEnvironment('people', { HEADWATER_SOURCE_URL: 'postgresql://x/y' }),
      /^HeadwaterError: HEADWATER_KAFKA_BROKERS and HEADWATER_REGISTRY_URL are not set/,
    );
  });

  it('is never for tests what a shell has set for Headwater itself', () => {
    assert.equal(addressesFromEnvironment('tests', { HEADWATER_SOURCE_URL: 'postgresql://x/y' }), undefined);
    assert.deepEqual(addressesFromEnvironment('tests', testEnvironment(addresses)), addresses);
  });

  it('can be named, and an unknown name is refused', () => {
    assert.equal(forcedKind({ HEADWATER_STACK: 'local' }), 'local');
    assert.equal(forcedKind({ HEADWATER_STACK: 'auto' }), undefined);
    assert.equal(forcedKind({}), undefined);
    assert.throws(() => forcedKind({ HEADWATER_STACK: 'podman' }), /auto, environment, docker or local/);
  });

  it('is an error when addresses are asked for and not set', async () => {
    const env = { HEADWATER_STACK: 'environment' };
    const options = { directory: tmpdir(), purpose: 'people', env, report: () => undefined } as const;
    await assert.rejects(startStack(options), /no addresses are set/);
  });
});
