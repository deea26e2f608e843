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
  it('uses the servers of the environment when all three addresses are set', () => {
    const env = {
      HEADWATER_SOURCE_URL: addresses.postgresUrl,
      HEADWATER_KAFKA_BROKERS: 'a:9092, b:9092',
      HEADWATER_REGISTRY_URL: `${addresses.registryUrl}/`,
    };
    assert.deepEqual(addressesFromEnvironment('people', env), addresses);
  });

  it('uses its own servers when no address is set', () => {
    assert.equal(addressesFromEnvironment('people', {}), undefined);
  });

  it('names the missing addresses in an error when only some are set', () => {
    assert.throws(
      () => addressesFromEnvironment('people', { HEADWATER_SOURCE_URL: 'postgresql://x/y' }),
      /^HeadwaterError: HEADWATER_KAFKA_BROKERS and HEADWATER_REGISTRY_URL are not set/,
    );
  });

  it("does not use Headwater's own addresses for tests", () => {
    assert.equal(addressesFromEnvironment('tests', { HEADWATER_SOURCE_URL: 'postgresql://x/y' }), undefined);
    assert.deepEqual(addressesFromEnvironment('tests', testEnvironment(addresses)), addresses);
  });

  it('takes the named way, and refuses an unknown name', () => {
    assert.equal(forcedKind({ HEADWATER_STACK: 'local' }), 'local');
    assert.equal(forcedKind({ HEADWATER_STACK: 'auto' }), undefined);
    assert.equal(forcedKind({}), undefined);
    assert.throws(() => forcedKind({ HEADWATER_STACK: 'podman' }), /auto, environment, docker or local/);
  });

  it('throws when HEADWATER_STACK is environment and no address is set', async () => {
    const env = { HEADWATER_STACK: 'environment' };
    const options = { directory: tmpdir(), purpose: 'people', env, report: () => undefined } as const;
    await assert.rejects(startStack(options), /no addresses are set/);
  });
});
