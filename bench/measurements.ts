import type { Consumed } from './baseline.ts';
import type { ReplayTime } from './exports.ts';

/** One kind of export, measured some times: seconds of each. */
export interface Repeated {
  readonly seconds: readonly number[];
  readonly resources: number;
  readonly bytes: number;
}

/** How fast changes came into the log. */
export interface StreamRate {
  readonly resources: number;
  /** Until PostgreSQL had committed all of them. */
  readonly sourceSeconds: number;
  /** Until a cut had all of them: for small transactions from the first change on, for a huge one from its commit on. */
  readonly seconds: number;
}

/** Everything one benchmark finds out, but CPU and memory. Sizes in bytes, times in seconds, latencies in ms. */
export interface Measurements {
  readonly patients: number;
  readonly resources: number;
  /** Of all bodies. */
  readonly bytes: number;
  readonly sourceLoadSeconds: number;
  readonly firstLoadSeconds: number;
  /** From the start of the process until the load was done. */
  readonly firstLoadWall: number;
  readonly copyMethod: string;
  readonly copy: readonly number[];
  readonly consumed: readonly Consumed[];
  readonly full: Repeated;
  readonly replay: readonly ReplayTime[];
  readonly patient: Repeated;
  /** Share of Patient in the bytes of the full export. */
  readonly patientShare: number;
  readonly smallType: readonly number[];
  readonly smallSince: readonly number[];
  /** While a full export ran. */
  readonly smallBeside: readonly number[];
  readonly since: Repeated;
  readonly streamSmall: StreamRate;
  readonly streamHuge: StreamRate;
  readonly commitLatencies: readonly number[];
}
