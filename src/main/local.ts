import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import type { Environment } from '../config/environment.ts';
import { parseSettings, readSettings } from '../config/settings.ts';
import { stackStatus } from '../stack/commands.ts';
import { headwaterDirectory } from '../stack/contract.ts';
import type { StackAddresses } from '../stack/contract.ts';
import { isAlive } from '../stack/local/server-process.ts';
import { thisProcess } from '../stack/local/stack-state.ts';

const filesIn = (directory: string): string => join(directory, 'files');

/** The folder of `headwater start`'s export files. */
export const localFiles = filesIn(headwaterDirectory);

/** Removes all export files and the owner marker. After their job tables are gone, no janitor removes them. */
export function removeLocalFiles(directory = headwaterDirectory): Promise<void> {
  return rm(filesIn(directory), { recursive: true, force: true });
}

/**
 * Returns the settings of the local stack. `headwater start` and the other commands of this checkout use them where the environment
 * has none.
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

const serviceIn = (directory: string): string => join(directory, 'service.json');

/** Records the URL of this service for other commands of this checkout. Returns a function that removes the record. */
export function announceService(publicUrl: string, directory = headwaterDirectory): () => void {
  const service = serviceIn(directory);
  writeFileSync(service, JSON.stringify({ publicUrl, process: thisProcess() }));
  return () => rmSync(service, { force: true });
}

/** The FHIR base of the service that the environment names, or that runs from this checkout. */
export function localServer(directory = headwaterDirectory): string {
  const { publicUrl } = readSettings([]);
  const named = publicUrl !== parseSettings({}, []).publicUrl;
  return `${(named ? undefined : announced(directory)) ?? publicUrl}/fhir`;
}

function announced(directory: string): string | undefined {
  try {
    const known = SERVICE.parse(JSON.parse(readFileSync(serviceIn(directory), 'utf8')));
    return isAlive(known.process) ? known.publicUrl : undefined;
  } catch {
    return undefined; // nothing has ever run here
  }
}

const SERVICE = z.object({
  publicUrl: z.string(),
  process: z.object({ pid: z.number(), identity: z.string() }),
});

/** Created once and stored, so that file URLs stay valid after a restart. */
function localSecret(): string {
  const path = join(headwaterDirectory, 'url-secret');
  if (!existsSync(path)) {
    mkdirSync(headwaterDirectory, { recursive: true });
    writeFileSync(path, randomBytes(32).toString('hex'), { mode: 0o600 });
  }
  return readFileSync(path, 'utf8').trim();
}
