import { addressesFromEnvironment } from '../../src/stack/environment.ts';
import { startStack, type Stack, type StackAddresses } from '../../src/stack/stack.ts';

/** The servers that all tests of one run share. A test uses unique names, and removes what it made. */
export function sharedStack(): StackAddresses {
  const addresses = addressesFromEnvironment('tests', process.env);
  if (addresses) return addresses;
  throw new Error('This test needs PostgreSQL, Kafka and a schema registry: run it by "npm test".');
}

/**
 * Starts separate servers for a test that kills and restarts them. The test stops them.
 * @public
 */
export function privateStack(): Promise<Stack> {
  const { HEADWATER_TEST_POSTGRES_URL, HEADWATER_TEST_KAFKA_BROKERS, HEADWATER_TEST_REGISTRY_URL, ...env } =
    process.env;
  return startStack({ purpose: 'tests', env, report: () => undefined });
}
