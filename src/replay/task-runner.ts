import { controlCodecs } from '../events/control-codec.ts';
import { ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { StorageSettings } from '../config/settings.ts';
import type { DeidentifierSource } from '../deidentify/source.ts';
import type { SchemaIds } from '../events/schema-ids.ts';
import type { Task } from '../events/tasks.ts';
import { References } from '../fhir/reference.ts';
import type { ClusterOptions } from '../log/kafka/wire/cluster.ts';
import { RangeReader } from '../log/kafka/read/range-reader.ts';
import { openStore } from '../storage/open-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { NamedPatients } from './named-patients.ts';
import { runTask } from './run-task.ts';
import type { TaskResult } from './run-task.ts';
import type { TaskTools } from './task-run.ts';

/** The settings for running tasks, as plain data that can be sent to a thread. */
export interface TaskRunnerOptions {
  readonly kafka: ClusterOptions;
  readonly schemaIds: SchemaIds;
  readonly topicPrefix: string;
  /** The setting HEADWATER_URL_SECRET. */
  readonly secret: string;
  /** Base URLs of the source's resources. */
  readonly baseUrls: readonly string[];
  readonly storage: StorageSettings;
  readonly fileBytes: number;
  readonly deidentification?: readonly DeidentifierSource[] | undefined;
  /** The folder of keys for redactions. */
  readonly keysFolder?: string | undefined;
}

export interface TaskRunner {
  /** @param onProgress called with 0 to 1 */
  run(task: Task, signal: AbortSignal, onProgress: (fraction: number) => void): Promise<TaskResult>;
  close(): Promise<void>;
}

/** Runs tasks in this thread, with a reader and a store of its own. */
export class LocalRunner implements TaskRunner {
  readonly #reader: RangeReader;
  readonly #tools: Omit<TaskTools, 'store'>;
  readonly #storage: StorageSettings;
  #store: Promise<ObjectStore> | undefined;

  constructor({ kafka, schemaIds, topicPrefix, secret, baseUrls, storage, ...options }: TaskRunnerOptions) {
    this.#storage = storage;
    const reader = (this.#reader = new RangeReader(kafka));
    const references = new References(baseUrls);
    const codec = new ResourceChangeCodec(schemaIds, references);
    const topicOf = (type: string): string => `${topicPrefix}.resources.${type}`;
    const commands = { topic: `${topicPrefix}.commands`, codec: controlCodecs(schemaIds, secret).command };
    const named = new NamedPatients({ reader, ...commands });
    this.#tools = {
      log: { reader, topicOf, codec },
      references,
      patientsOf: (jobId, place, signal) => named.of(jobId, place, signal),
      fileBytes: options.fileBytes,
      deidentification: options.deidentification,
      keysFolder: options.keysFolder,
    };
  }

  async run(task: Task, signal: AbortSignal, onProgress: (fraction: number) => void): Promise<TaskResult> {
    const store = await (this.#store ??= openStore(this.#storage));
    return runTask(task, { ...this.#tools, store }, { signal, onProgress });
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}
