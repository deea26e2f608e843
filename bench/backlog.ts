import type { BenchSystem } from './bench-system.ts';
import { changeInTransactions, keysOfShare, timeToCut } from './changes.ts';
import type { Phases } from './phases.ts';

/** Thousandths of all resources. */
const FOLLOWED = [0, 100] as const;
const WAITING = [100, 200] as const;

/** The same number of changes, in transactions of 100: with capture following, and while no process of Headwater runs. */
export interface Backlog {
  readonly resources: number;
  /** PostgreSQL, while capture follows; and until a cut is in the log. */
  readonly together: number;
  readonly untilCut: number;
  /** PostgreSQL alone; then capture alone, from the start of its work. */
  readonly alone: number;
  readonly resourcesAlone: number;
  readonly captureAlone: number;
}

/** Shows who is slower: PostgreSQL, that makes changes, or capture, that follows them. All roles run before and after. */
export async function backlog(system: BenchSystem, phases: Phases): Promise<Backlog> {
  const { sourceUrl } = system.settings;
  const timed = async (share: readonly [number, number], phase: string) => {
    const keys = await keysOfShare(sourceUrl, ...share);
    return phases.run(phase, async (signal) => {
      const begun = performance.now();
      await changeInTransactions(sourceUrl, keys, { connections: 2, signal });
      return { count: keys.length, seconds: (performance.now() - begun) / 1000 };
    });
  };
  const followed = await timed(FOLLOWED, 'changes while capture follows');
  const rest = await timeToCut(system, phases.signal);
  await system.setUpAnew({});
  const waiting = await timed(WAITING, 'changes while nothing runs');
  const captureAlone = await phases.run('capture of what waits', async (signal) => {
    const { roles } = system;
    roles.start('gateway');
    await roles.logLine('gateway', ({ msg }) => msg === 'gateway listens', signal);
    roles.start('capture');
    const { time } = await roles.logLine('capture', ({ msg }) => msg.startsWith('capture starts'), signal);
    await timeToCut(system, signal);
    return (Date.now() - time) / 1000;
  });
  return {
    resources: followed.count,
    together: followed.seconds,
    untilCut: followed.seconds + rest,
    alone: waiting.seconds,
    resourcesAlone: waiting.count,
    captureAlone,
  };
}
