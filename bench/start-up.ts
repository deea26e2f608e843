import { systemClock } from '../src/base/clock.ts';
import type { TokenSource } from '../src/client/http-client.ts';
import type { BenchSystem } from './bench-system.ts';
import { timedExport } from './exports.ts';
import type { Wanted } from './exports.ts';
import type { Phases } from './phases.ts';

/** A small type. */
export const GROUP: Wanted = { types: ['Group'] };

/** Node parameters for the processes to profile. */
export type NodeOptions = (role: 'capture' | 'worker') => readonly string[];

/** Starts capture and waits until it has loaded everything. */
export async function firstLoad(
  system: BenchSystem,
  phases: Phases,
  load: { readonly phase: string; readonly resources: number; readonly nodeOptions: NodeOptions },
): Promise<{ readonly firstLoadSeconds: number; readonly firstLoadWall: number }> {
  const begun = systemClock();
  return phases.run(load.phase, async (signal) => {
    const { roles } = system;
    roles.start('capture', load.nodeOptions('capture'));
    const start = await roles.logLine('capture', ({ msg }) => msg.startsWith('capture starts'), signal);
    const end = await roles.logLine('capture', ({ msg }) => msg.startsWith('first-load:'), signal);
    if (end.resources !== load.resources)
      throw new Error(`capture loaded ${end.resources} of ${load.resources} resources`);
    return {
      firstLoadSeconds: (end.time - start.time) / 1000,
      firstLoadWall: (end.time - begun) / 1000,
    };
  });
}

/** Resolves after a first export, when the roles are ready. */
export async function startOthers(
  system: BenchSystem,
  phases: Phases,
  nodeOptions: NodeOptions,
  token?: TokenSource,
): Promise<void> {
  await phases.run('starting the other roles', async (signal) => {
    system.roles.start('gateway');
    system.roles.start('planner');
    system.roles.start('worker', nodeOptions('worker'));
    system.roles.start('projector,janitor');
    await system.roles.logLine('gateway', ({ msg }) => msg === 'gateway listens', signal);
    await timedExport(system, GROUP, signal, token);
  });
}
