import { globSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { COMPONENTS } from '../contract.ts';
import { endServer, isAlive } from './server-process.ts';
import { elsewhere } from './servers.ts';
import { readState } from './stack-state.ts';

/** A younger folder without a state may belong to a stack that is starting. */
const HOUR_MS = 3_600_000;

/** Ends and removes the test stacks of killed test runs. */
export async function sweepTestStacks(directory: string): Promise<void> {
  for (const name of globSync('test-stack-*', { cwd: directory })) {
    const folder = join(directory, name);
    const state = readState(folder);
    if (state ? isAlive(state.owner) : Date.now() - statSync(folder).mtimeMs < HOUR_MS) continue;
    for (const component of COMPONENTS) {
      const server = state?.processes[component];
      if (server) await endServer(server, 'SIGKILL');
    }
    removeStackFolder(folder);
  }
}

export function removeStackFolder(folder: string): void {
  for (const path of [folder, elsewhere(folder)])
    rmSync(path, { recursive: true, force: true, maxRetries: 5 });
}
