import type { TopicState } from '../events/position.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import type { Zone } from '../events/zone.ts';
import type { Offset } from '../base/positions.ts';
import type { LogReader, TopicListener } from '../log/log.ts';
import type { TopicIdentities } from './coverage-watch.ts';
import type { PositionStore } from './position.ts';

/** The port of capture to the log. */
export interface ResourceLog {
  /** Opens the log for writing and fences every earlier writer. The control topics are declared. */
  open(): Promise<CaptureLog>;
  readonly reader: LogReader;
  readonly topics: ResourceTopics;
  readonly changes: ChangeCodec;
  readonly encodeZone: (zone: Zone) => Buffer;
  readonly positions: PositionStore;
}

export interface ChangeCodec {
  /** @param scratch memory for the result, if it fits into it */
  encode(change: ResourceChange, scratch?: Buffer): Buffer;
  /** Throws `corrupt` when the value is not a change. */
  decode(value: Buffer): ResourceChange;
}

/** The log open for writing: one transaction at a time, and the ends of the partitions. */
export interface CaptureLog {
  readonly pendingBytes: number;
  /** How long Kafka has held the transaction open, in ms; 0 if none is open. */
  readonly openMs: number;
  /** Kafka aborts a transaction after this time, in ms. */
  readonly transactionTimeoutMs: number;
  declare(topic: string, ends: readonly number[]): void;
  declared(topic: string): boolean;
  ends(topic: string): readonly number[];
  /** Sets the listener of a topic; it replaces an earlier one. */
  listen(topic: string, listener: TopicListener): void;
  /** @param patients the patients that the record is about */
  add(
    topic: string,
    record: { readonly timestamp: number; readonly key: Uint8Array; readonly value: Uint8Array },
    patients?: readonly string[],
  ): void;
  flush(): Promise<void>;
  commit(): Promise<void>;
  close(): Promise<void>;
}

export interface ResourceTopic {
  /** Kafka's id: a topic that is deleted and made again has another. */
  readonly id: string;
  readonly starts: readonly number[];
  readonly ends: readonly Offset[];
}

/** The topics of resource types. */
export interface ResourceTopics {
  topicOf(type: string): string;
  /** The topic that says which patients each stretch of a resource topic is about. */
  readonly zones: string;
  /** Makes the topic if there is none; resolves to its id and the ends of its partitions. */
  ensure(type: string): Promise<ResourceTopic>;
  /** Resource types that have a topic. */
  list(): Promise<readonly string[]>;
  /** The topics of these types, and of all types that a broker lists. Leaves out topics that do not exist. */
  states(types: readonly string[]): Promise<readonly TopicState[]>;
  readonly identities: TopicIdentities;
  /** Deletes every resource topic and empties the topic of zones; resolves when they are gone. */
  deleteAll(): Promise<void>;
}
