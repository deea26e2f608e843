import { HeadwaterError } from '../base/errors.ts';
import { waitForAddresses } from './ready.ts';
import type { Stack, StackAddresses } from './contract.ts';

/** Tests use other names, so that they never run on the database that a developer's shell names for Headwater. */
const NAMES = {
  people: ['HEADWATER_SOURCE_URL', 'HEADWATER_KAFKA_BROKERS', 'HEADWATER_REGISTRY_URL'],
  tests: ['HEADWATER_TEST_POSTGRES_URL', 'HEADWATER_TEST_KAFKA_BROKERS', 'HEADWATER_TEST_REGISTRY_URL'],
} as const;

/** Returns the three addresses if all are set, and undefined if none is. Otherwise throws an error that names the missing ones. */
export function addressesFromEnvironment(
  purpose: 'people' | 'tests',
  env: NodeJS.ProcessEnv,
): StackAddresses | undefined {
  const names = NAMES[purpose];
  const [postgresUrl = '', brokers = '', registryUrl = ''] = names.map((name) => env[name] ?? '');
  const missing = names.filter((name) => (env[name] ?? '') === '');
  if (missing.length === names.length) return undefined;
  if (missing.length > 0) {
    throw new HeadwaterError(
      'bad-config',
      `${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} not set: set all of ${names.join(', ')}, or none`,
    );
  }
  const kafkaBrokers = brokers
    .split(',')
    .map((broker) => broker.trim())
    .filter((broker) => broker !== '');
  return { postgresUrl, kafkaBrokers, registryUrl: registryUrl.replace(/\/+$/, '') };
}

/** The variables that `addressesFromEnvironment` reads for tests. */
export function testEnvironment(addresses: StackAddresses): Record<string, string> {
  return {
    HEADWATER_TEST_POSTGRES_URL: addresses.postgresUrl,
    HEADWATER_TEST_KAFKA_BROKERS: addresses.kafkaBrokers.join(','),
    HEADWATER_TEST_REGISTRY_URL: addresses.registryUrl,
  };
}

/** Servers given by their addresses. This process never starts, stops or restarts them. */
export async function stackFromEnvironment(
  purpose: 'people' | 'tests',
  env: NodeJS.ProcessEnv,
): Promise<Stack | undefined> {
  const addresses = addressesFromEnvironment(purpose, env);
  if (!addresses) return undefined;
  await waitForAddresses(addresses, AbortSignal.timeout(30_000));
  return {
    kind: 'environment',
    addresses,
    stop: () => Promise.resolve(),
    restart: (component) =>
      Promise.reject(
        new HeadwaterError(
          'unsupported',
          `${component} was given by its address and cannot be restarted from here`,
        ),
      ),
    pids: () => Promise.resolve({}),
  };
}
