import type { Logger } from '../base/service.ts';
import type { Codec } from '../events/schema-ids.ts';
import type { StatusEvent } from '../events/status.ts';
import type { Publisher } from '../log/log.ts';

export interface JobEndsOptions {
  readonly publisher: Publisher;
  readonly statusTopic: string;
  readonly codec: Pick<Codec<StatusEvent>, 'encode'>;
  readonly logger: Logger;
}

/** ms; long enough for an event to come back through the projection. */
const REPEAT_AFTER = 60_000;

type JobEnd = Extract<StatusEvent, { readonly kind: 'ExportFailed' | 'ExportExpired' }>;

/** Appends events that end jobs. Remembers which jobs it has ended, because the projection may not know yet. A crash repeats an event. */
export class JobEnds {
  readonly #options: JobEndsOptions;
  /** Time of the last event of each job, oldest first. */
  readonly #endedAt = new Map<string, number>();

  constructor(options: JobEndsOptions) {
    this.#options = options;
  }

  endedLately(jobId: string, now: number): boolean {
    for (const [id, at] of this.#endedAt) {
      if (at >= now - REPEAT_AFTER) break;
      this.#endedAt.delete(id);
    }
    return this.#endedAt.has(jobId);
  }

  async append(events: readonly JobEnd[]): Promise<void> {
    if (events.length === 0) return;
    const { publisher, statusTopic, codec, logger } = this.#options;
    await publisher.append(
      events.map((event) => ({ topic: statusTopic, key: event.jobId, value: codec.encode(event) })),
    );
    for (const { jobId, at, kind } of events) {
      this.#endedAt.set(jobId, at);
      logger.info({ jobId, event: kind }, kind === 'ExportExpired' ? 'export expired' : 'export is overdue');
    }
  }
}
