import type { Admin, Kafka } from 'kafkajs';
import { backoff, sleep } from '../../../base/clock.ts';
import { HeadwaterError } from '../../../base/errors.ts';
import { kafkaError } from '../wire/kafka-error.ts';

/** The longest that a change of a topic may take, in ms. */
export const PATIENCE = 30_000;

/** One connection of kafkajs for administration. It opens with the first call, and again after a call that failed. */
export class AdminConnection {
  readonly #kafka: Kafka;
  #admin: Promise<Admin> | undefined;

  constructor(kafka: Kafka) {
    this.#kafka = kafka;
  }

  /** Runs a call. Throws an error of kafkajs as a `HeadwaterError` that names the call. */
  async call<T>(doing: string, call: (admin: Admin) => Promise<T>): Promise<T> {
    this.#admin ??= this.#open();
    const opened = this.#admin;
    try {
      return await call(await opened);
    } catch (error) {
      if (this.#admin === opened) this.#admin = undefined;
      void opened.then((admin) => admin.disconnect()).catch(() => undefined);
      throw kafkaError(error, doing);
    }
  }

  /** Repeats a check until it returns true, because Kafka has no event for it. Throws `unavailable` after `PATIENCE`. */
  async until(what: string, done: (admin: Admin) => Promise<boolean>): Promise<void> {
    const patience = AbortSignal.timeout(PATIENCE);
    for (let attempt = 0; !(await this.call(`waiting for ${what}`, done)); attempt++) {
      await sleep(backoff(attempt, Math.random, 5, 200), patience).catch(() => {
        throw new HeadwaterError('unavailable', `Kafka took too long for ${what}`);
      });
    }
  }

  async close(): Promise<void> {
    const opened = this.#admin;
    this.#admin = undefined;
    await opened?.then((admin) => admin.disconnect()).catch(() => undefined);
  }

  async #open(): Promise<Admin> {
    const admin = this.#kafka.admin();
    await admin.connect();
    return admin;
  }
}
