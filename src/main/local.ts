import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Environment } from '../config/settings.ts';
import { stackStatus } from '../stack/commands.ts';
import { headwaterDirectory } from '../stack/contract.ts';
import type { StackAddresses } from '../stack/contract.ts';

/** Where `headwater start` keeps its export files. */
export const localFiles = join(headwaterDirectory, 'files');

/**
 * Settings for the local stack, for all that the environment does not say: what `headwater start` and the commands of
 * the same checkout run with.
 */
export async function localSettings(given?: StackAddresses): Promise<Environment> {
  const addresses = given ?? (await stackStatus()).data.addresses;
  return {
    HEADWATER_SOURCE_URL: addresses.postgresUrl,
    HEADWATER_KAFKA_BROKERS: addresses.kafkaBrokers.join(','),
    HEADWATER_REGISTRY_URL: addresses.registryUrl,
    HEADWATER_STORAGE_URL: pathToFileURL(localFiles).href,
    HEADWATER_URL_SECRET: localSecret(),
  };
}

/** Made once and kept, so that file URLs outlive a restart. */
function localSecret(): string {
  const path = join(headwaterDirectory, 'url-secret');
  if (!existsSync(path)) {
    mkdirSync(headwaterDirectory, { recursive: true });
    writeFileSync(path, randomBytes(32).toString('hex'), { mode: 0o600 });
  }
  return readFileSync(path, 'utf8').trim();
}
