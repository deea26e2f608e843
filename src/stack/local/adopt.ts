import { HeadwaterError } from '../../base/errors.ts';
import { COMPONENTS } from '../contract.ts';
import { aliveComponents } from './running-servers.ts';
import { isAlive } from './server-process.ts';
import { thisProcess, type StackState } from './stack-state.ts';

/**
 * The state with the servers that run already, or undefined if none runs. If `stack up` or another live process left them running,
 * this process uses them and leaves them. If their owner is gone, this process takes them over and ends them with itself.
 */
export function adopt(state: StackState, keepRunning: boolean): StackState | undefined {
  const alive = aliveComponents(state);
  if (alive.length === 0) return undefined;
  const ownerRuns = isAlive(state.owner);
  const isForeign = !state.keep && state.owner.pid !== process.pid && ownerRuns;
  if (isForeign && alive.length < COMPONENTS.length) {
    const owner = String(state.owner.pid);
    throw new HeadwaterError(
      'unavailable',
      `Process ${owner} is starting or ending the servers; try again when it is done.`,
    );
  }
  const processes = Object.fromEntries(alive.map((component) => [component, state.processes[component]]));
  const keep = state.keep || keepRunning;
  return { ...state, keep, owner: keep || ownerRuns ? state.owner : thisProcess(), processes };
}
