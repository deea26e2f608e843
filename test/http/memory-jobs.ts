import { HeadwaterError } from '../../src/base/errors.ts';
import type { Grant } from '../../src/events/grant.ts';
import type { JobFailure, Jobs, JobView, SubmitRequest } from '../../src/jobs/job.ts';

/** Jobs in a Map, with the states set by the test. Keeps the port's promises, without the log behind it. */
export class MemoryJobs implements Jobs {
  readonly views = new Map<string, JobView>();
  readonly #limit: number;
  /** Thrown by every method while it is set. */
  failure: Error | undefined;
  /** Why plans of new jobs fail. */
  refused: JobFailure | undefined;

  constructor(limit = 3) {
    this.#limit = limit;
  }

  submit(request: SubmitRequest): Promise<string> {
    if (this.failure) return Promise.reject(this.failure);
    const unfinished = [...this.views.values()].filter(
      (job) => job.state === 'accepted' || job.state === 'running',
    );
    if (unfinished.length >= this.#limit) {
      return Promise.reject(new HeadwaterError('too-many', 'too many exports of this client are unfinished'));
    }
    const jobId = `job-${String(this.views.size + 1)}`;
    this.views.set(jobId, {
      ...request,
      jobId,
      state: 'accepted',
      cancelRequested: false,
      acceptedAt: Date.now(),
      endedAt: undefined,
      transactionTime: undefined,
      progress: 0,
      files: [],
      filesByTask: [],
      failure: undefined,
    });
    return Promise.resolve(jobId);
  }

  refusal(jobId: string): Promise<JobFailure | undefined> {
    return Promise.resolve(this.refused ?? this.views.get(jobId)?.failure);
  }

  hasFiles(jobId: string): Promise<boolean> {
    if (this.failure) return Promise.reject(this.failure);
    const { cancelRequested = true, state } = this.views.get(jobId) ?? {};
    return Promise.resolve(!cancelRequested && state !== 'cancelled' && state !== 'expired');
  }

  find(jobId: string, clientId: string): Promise<JobView | undefined> {
    if (this.failure) return Promise.reject(this.failure);
    const job = this.views.get(jobId);
    return Promise.resolve(job?.clientId === clientId ? job : undefined);
  }

  grantAsOf(clientId: string, transactionTime: number): Promise<Grant | undefined> {
    const job = [...this.views.values()].findLast(
      (one) => one.clientId === clientId && one.transactionTime === transactionTime,
    );
    return Promise.resolve((job as (JobView & SubmitRequest) | undefined)?.grant);
  }

  async cancel(jobId: string, clientId: string): Promise<boolean> {
    const job = await this.find(jobId, clientId);
    if (!job || job.cancelRequested || job.state === 'expired' || job.state === 'cancelled') return false;
    this.set(jobId, { cancelRequested: true });
    return true;
  }

  set(jobId: string, change: Partial<JobView>): void {
    const job = this.views.get(jobId);
    if (!job) throw new Error(`no ${jobId}`);
    this.views.set(jobId, { ...job, ...change });
  }

  get only(): JobView {
    const [job, ...others] = this.views.values();
    if (!job || others.length > 0) throw new Error(`${String(this.views.size)} jobs instead of one`);
    return job;
  }
}
