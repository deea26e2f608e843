import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { HeadwaterError } from '../../base/errors.ts';
import { identityOf, isAlive } from './server-process.ts';

const serverProcess = z.object({ pid: z.int(), identity: z.string() });
const port = z.int();

const stackState = z.object({
  /** `stack up` left the servers running. Otherwise they belong to the owner and end with it. */
  keep: z.boolean(),
  owner: serverProcess,
  ports: z.object({ postgres: port, kafka: port, controller: port, registry: port }),
  processes: z.object({
    postgres: serverProcess.optional(),
    kafka: serverProcess.optional(),
    registry: serverProcess.optional(),
  }),
});

/** The servers of one stack's folder. Written after every start and end, so that the servers of a killed parent are found. */
export type StackState = z.infer<typeof stackState>;

export function readState(folder: string): StackState | undefined {
  let text: string;
  try {
    text = readFileSync(join(folder, 'stack.json'), 'utf8');
  } catch {
    return undefined;
  }
  const parsed = stackState.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new HeadwaterError(
    'corrupt',
    `${join(folder, 'stack.json')} is not readable: end its servers and delete it`,
  );
}

export function writeState(folder: string, state: StackState): void {
  const file = join(folder, 'stack.json');
  const fresh = `${file}.${String(process.pid)}`;
  writeFileSync(fresh, `${JSON.stringify(state, undefined, 2)}\n`);
  renameSync(fresh, file);
}

export function thisProcess(): { pid: number; identity: string } {
  return { pid: process.pid, identity: identityOf(process.pid) ?? 'unknown' };
}

/** Prevents two processes from starting or ending the same stack at once. Takes over the lock of a dead process. */
export async function withLock<T>(folder: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'stack.lock');
  while (!tryLock(file)) {
    signal.throwIfAborted();
    await delay(100);
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

function tryLock(file: string): boolean {
  try {
    writeFileSync(file, JSON.stringify(thisProcess()), { flag: 'wx' });
    return true;
  } catch {
    try {
      const holder = serverProcess.parse(JSON.parse(readFileSync(file, 'utf8')));
      if (!isAlive(holder)) rmSync(file, { force: true });
    } catch {
      // half written, or just removed: try again
    }
    return false;
  }
}
