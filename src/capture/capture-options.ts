import type { Clock } from '../base/clock.ts';
import type { HealthReporter, Logger } from '../base/service.ts';
import type { Command, RequestMessage } from '../events/commands.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import type { Zone } from '../events/zone.ts';
import type { LogReader } from '../log/log.ts';
import type { CaptureLog, CaptureMetrics, ResourceTopics } from './change-writer.ts';
import type { TopicState } from '../events/position.ts';
import type { TopicIdentities } from './coverage-watch.ts';
import type { ProblemLog } from './problem-log.ts';
import type { RowRules } from './read-row.ts';
import type { PositionStore } from './position.ts';
import type { Source } from './source.ts';

/** Raw bytes added at which they are sent on. */
export const FLUSH_BYTES = 8 << 20;
/** A huge source transaction, or a load, goes on in another Kafka transaction after this many raw bytes. */
export const TRANSACTION_BYTES = 96 << 20;

export interface CaptureOptions {
  /** The topic prefix, which is the name of the installation. */
  readonly prefix: string;
  readonly source: Source;
  /** Schema of the request table in the source database. */
  readonly schema: string;
  readonly messagePrefix: string;
  /** Opens the log for writing and fences every earlier writer; knows the control topics' partitions. */
  readonly openLog: () => Promise<CaptureLog>;
  readonly reader: LogReader;
  readonly topics: ResourceTopics & {
    /** Resource types that have a topic. */
    list(): Promise<readonly string[]>;
    /** Topics of these types, and of all types that a broker lists; those that do not exist are left out. */
    states(types: readonly string[]): Promise<readonly TopicState[]>;
    readonly identities: TopicIdentities;
    /** Removes every resource topic and empties the one of zones; resolves when they are gone. */
    deleteAll(): Promise<void>;
  };
  readonly positions: PositionStore;
  readonly commandsTopic: string;
  readonly encodeChange: (change: ResourceChange) => Buffer;
  readonly encodeZone: (zone: Zone) => Buffer;
  readonly decodeChange: (value: Buffer) => ResourceChange;
  readonly encodeCommand: (command: Command) => Buffer;
  /** Throws when it is no request. */
  readonly parseRequest: (content: Buffer) => RequestMessage;
  readonly rows: RowRules;
  /** Lives as long as the process, so that a capture that starts again does not repeat what it told. */
  readonly problems: ProblemLog;
  /** How long an export may take: an older request has ended, whatever became of it. */
  readonly maxExportMs: number;
  readonly metrics: CaptureMetrics;
  readonly clock: Clock;
  /** A random id. */
  readonly newId: () => string;
  readonly logger: Logger;
  readonly health: HealthReporter;
  /** Told while a load runs. */
  readonly onLoad?: (progress: { readonly resources: number; readonly bytes: number }) => void;
}
