import { controlCodecs } from '../events/control-codec.ts';
import { ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { SchemaIds } from '../events/schema-ids.ts';
import type { ExportFile } from '../events/status.ts';
import type { Task } from '../events/tasks.ts';
import { References } from '../fhir/reference.ts';
import type { ClusterOptions } from '../log/kafka/wire/cluster.ts';
import { RangeReader } from '../log/kafka/read/range-reader.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { openStore } from '../storage/open-store.ts';
import { NamedPatients } from './named-patients.ts';
import { runTask } from './run-task.ts';

/** All that running a task needs, as plain data: it can be sent to a thread. */
export interface TaskRunnerOptions {
  readonly kafka: ClusterOptions;
  readonly schemaIds: SchemaIds;
  readonly topicPrefix: string;
  /** Base URLs of the source's resources. */
  readonly baseUrls: readonly string[];
  readonly storageUrl: string;
  readonly fileBytes: number;
}

export interface TaskRunner {
  /** @param onProgress told 0 to 1 */
  run(
    task: Task,
    signal: AbortSignal,
    onProgress: (fraction: number) => void,
  ): Promise<readonly ExportFile[]>;
  close(): Promise<void>;
}

/** Runs tasks where it is, with a reader and a store of its own. */
export class LocalRunner implements TaskRunner {
  readonly #options: TaskRunnerOptions;
  readonly #reader: RangeReader;
  readonly #store: ObjectStore;
  readonly #codec: ResourceChangeCodec;
  readonly #references: References;
  readonly #named: NamedPatients;

  constructor(options: TaskRunnerOptions) {
    this.#options = options;
    this.#reader = new RangeReader(options.kafka);
    this.#store = openStore(options.storageUrl);
    this.#references = new References(options.baseUrls);
    this.#codec = new ResourceChangeCodec(options.schemaIds, this.#references);
    this.#named = new NamedPatients({
      reader: this.#reader,
      topic: `${options.topicPrefix}.commands`,
      codec: controlCodecs(options.schemaIds).command,
    });
  }

  run(
    task: Task,
    signal: AbortSignal,
    onProgress: (fraction: number) => void,
  ): Promise<readonly ExportFile[]> {
    return runTask(task, {
      reader: this.#reader,
      store: this.#store,
      codec: this.#codec,
      references: this.#references,
      patientsOf: (jobId, place) => this.#named.of(jobId, place, signal),
      topicOf: (type) => `${this.#options.topicPrefix}.resources.${type}`,
      fileBytes: this.#options.fileBytes,
      signal,
      onProgress,
    });
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}
