import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../src/base/clock.ts';
import type { Offset } from '../src/base/positions.ts';
import { cancelExport, kickOff, waitForManifest } from '../src/client/export-client.ts';
import type { ExportRequest } from '../src/client/export-request.ts';
import type { TokenSource } from '../src/client/http-client.ts';
import type { ReceivedFile, ReceivedManifest } from '../src/client/received-manifest.ts';
import type { LogAccess } from '../src/main/log-access.ts';
import type { BenchSystem } from './bench-system.ts';
import { covered, sum } from './statistics.ts';

const POLL_MS = 20;
const CLEAN_UP_PATIENCE = 20_000;

export interface ExportRun {
  readonly jobId: string;
  readonly statusUrl: string;
  /** From before the kick-off until the manifest was received. */
  readonly seconds: number;
  readonly resources: number;
  /** Of the files in `output`. */
  readonly bytes: number;
  readonly manifest: ReceivedManifest;
}

export type Wanted = Omit<ExportRequest, 'server'> & {
  /** Id, for the operation on one Patient. */
  readonly ofPatient?: string;
};

/** One export. Throws if a resource could not be exported. */
export async function timedExport(
  { server }: Pick<BenchSystem, 'server'>,
  { ofPatient, ...wanted }: Wanted,
  signal: AbortSignal,
  token?: TokenSource,
): Promise<ExportRun> {
  const base = ofPatient === undefined ? server : `${server}/Patient/${ofPatient}`;
  const begun = performance.now();
  const statusUrl = await kickOff({ server: base, ...wanted }, signal, token);
  const manifest = await waitForManifest(statusUrl, {
    ...{ signal, token, pollMs: POLL_MS },
    clock: systemClock,
  });
  const seconds = (performance.now() - begun) / 1000;
  if (manifest.error.length > 0) throw new Error(`an export has errors: ${statusUrl}`);
  return {
    jobId: jobIdOf(statusUrl),
    statusUrl,
    seconds,
    resources: sum(manifest.output.map(({ count = NaN }) => count)),
    bytes: sum(manifest.output.map(bytesOf)),
    manifest,
  };
}

/** Cancels an export and waits until its files are gone, so that removing them disturbs no other measurement. */
export async function discard(
  { files }: Pick<BenchSystem, 'files'>,
  { jobId, statusUrl }: ExportRun,
  signal: AbortSignal,
  token?: TokenSource,
): Promise<void> {
  await cancelExport(statusUrl, token);
  const deadline = performance.now() + CLEAN_UP_PATIENCE;
  while ((await readdir(files)).some((name) => name.endsWith(jobId)) && performance.now() < deadline)
    await delay(100, undefined, { signal });
}

/** Share of a type in the bytes of an export. */
export function shareOf(type: string, { manifest, bytes }: ExportRun): number {
  return sum(manifest.output.filter((file) => file.type === type).map(bytesOf)) / bytes;
}

export function jobIdOf(statusUrl: string): string {
  return new URL(statusUrl).pathname.split('/').at(-1) ?? '';
}

function bytesOf({ extension }: ReceivedFile): number {
  return extension?.bytes ?? NaN;
}

export interface ReplayTime {
  readonly tasks: number;
  /** To read, as estimated from the mean size of the resources of a type. */
  readonly plannedBytes: number;
  /** Seconds in which at least one task was being replayed. */
  readonly busy: number;
  /** Seconds of all tasks together. */
  readonly threads: number;
}

/** Follows the workers' events, to measure the replay time of each job. */
export class ReplayTimes {
  readonly #log: LogAccess;
  readonly #from: readonly Offset[];

  private constructor(log: LogAccess, from: readonly Offset[]) {
    this.#log = log;
    this.#from = from;
  }

  /** Knows of jobs that begin from now on. */
  static async from(log: LogAccess): Promise<ReplayTimes> {
    return new ReplayTimes(log, await log.reader.ends(log.names.status));
  }

  async of(jobId: string, signal: AbortSignal): Promise<ReplayTime> {
    const { reader, names } = this.#log;
    const { control } = await this.#log.codecs();
    const started = new Map<string, number>();
    const intervals: [number, number][] = [];
    let plannedBytes = 0;
    for (const [partition, to] of (await reader.ends(names.status)).entries()) {
      const range = { topic: names.status, partition, from: this.#from[partition] ?? (0 as Offset), to };
      for await (const records of reader.read(range, signal)) {
        for (const { value } of records) {
          const event = control.status.decode(value);
          if (event.jobId !== jobId) continue;
          if (event.kind === 'ExportPlanned')
            plannedBytes = sum(event.tasks.map((task) => task.plannedBytes));
          if (event.kind === 'TaskStarted') started.set(event.taskId, event.at);
          if (event.kind === 'TaskCompleted') intervals.push([started.get(event.taskId) ?? NaN, event.at]);
        }
      }
    }
    return {
      tasks: intervals.length,
      plannedBytes,
      busy: covered(intervals) / 1000,
      threads: sum(intervals.map(([from, to]) => to - from)) / 1000,
    };
  }
}
