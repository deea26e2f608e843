import type { AvroSchema } from './avro-schema.ts';

/** Settings that decide how topics are made. */
export interface TopicSettings {
  /** Partitions of a resource type's topic when it is created; an existing one keeps its own. */
  readonly resourcePartitions: number;
  /** Copies of every partition when a topic is created; of an existing one those it has. */
  readonly replicationFactor: number;
  /** ms that a replaced version stays at least. While an older export runs, the janitor makes it longer. */
  readonly compactionLagMs: number;
  /** Bytes of the largest resource that is captured. */
  readonly maxResourceBytes?: number;
  /** Hours that the events of a job are needed, from its first event on; without it they stay. */
  readonly jobHistoryHours?: number;
  /** Hours that audit records are kept; without it they stay. */
  readonly auditHours?: number;
}

/** A writer or reader of a topic. */
export type LogParty = 'capture' | 'planner' | 'worker' | 'projector' | 'janitor' | 'subscribers';

/** The cluster and the schema registry are made equal to declarations. The files in `topics/` are their only source. */
export interface TopicDeclaration {
  /** Without the prefix. `<Type>` stands for a resource type: one topic for each. */
  readonly name: string;
  /**
   * Under which the schema is registered: `<prefix>.<subject>-value`. Named for what the record is and not for the topic,
   * since topics with the same kind of record (each resource type, both lanes of tasks) share one schema and its id.
   */
  readonly subject: string;
  readonly schema: AvroSchema;
  /** The record key, in words. */
  readonly key: string;
  readonly partitions: (settings: TopicSettings) => number;
  /** Topic configuration that is enforced, of a template by resource type. What is not named here is the operator's. */
  readonly config: (settings: TopicSettings, type?: string) => Readonly<Record<string, string>>;
  readonly writers: readonly LogParty[];
  readonly readers: readonly LogParty[];
  readonly why: string;
}

const TYPE = '<Type>';

export function isTemplate(declaration: TopicDeclaration): boolean {
  return declaration.name.includes(TYPE);
}

export function topicName(prefix: string, declaration: TopicDeclaration): string {
  return `${prefix}.${declaration.name}`;
}

/** Topic of one resource type, from the template's declaration. */
export function resourceTopicName(prefix: string, declaration: TopicDeclaration, type: string): string {
  return topicName(prefix, declaration).replace(TYPE, type);
}

export function subjectName(prefix: string, subject: string): string {
  return `${prefix}.${subject}-value`;
}
