import type { Consumed } from './baseline.ts';
import type { ReplayTime } from './exports.ts';

/** One kind of export, measured some times: seconds of each. */
export interface Repeated {
  readonly seconds: readonly number[];
  readonly resources: number;
  readonly bytes: number;
}

/** The same export with the log's zones, and with none, when everything has to be read. */
export interface ZonePair {
  readonly zoned: Repeated;
  readonly unzoned: Repeated;
  /** Of what had to be read without zones, as planned. */
  readonly shareRead: number;
}

/** Exports of all, some and one of the patients, of data loaded patient by patient. */
export interface Narrow {
  readonly allPatients: Repeated;
  readonly members: number;
  readonly group: ZonePair;
  readonly onePatient: Repeated;
  /** Of what had to be read for all patients, as planned. */
  readonly onePatientShare: number;
}

/** Exports of one type; CPU is measured by phase. */
export interface Filtered {
  readonly plain: Repeated;
  /** With a filter that every resource passes. */
  readonly everything: Repeated;
  readonly laboratory: Repeated;
}

/** Phases whose CPU is compared. */
export const PLAIN = '_type=Observation';
export const FILTERED = '_typeFilter, all fit';

/** How fast changes came into the log. */
export interface StreamRate {
  readonly resources: number;
  /** Until PostgreSQL had committed all of them. */
  readonly sourceSeconds: number;
  /** Until a cut had all of them: for small transactions from the first change on, for a huge one from its commit on. */
  readonly seconds: number;
}

/** All results of one benchmark except CPU and memory. Sizes in bytes, times in seconds, latencies in ms. */
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
  readonly narrow: Narrow;
  /** The same Group of the same data in random order. */
  readonly shuffledGroup: ZonePair;
  readonly filtered: Filtered;
  readonly since: Repeated;
  readonly streamSmall: StreamRate;
  readonly streamHuge: StreamRate;
  readonly commitLatencies: readonly number[];
}
