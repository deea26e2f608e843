import { backoff, sleep } from './clock.ts';
import { HeadwaterError, isAbort, messageOf, remedyFor } from './errors.ts';
import { probeMessage } from './public-message.ts';

/** Structured logging as in pino. Never log the content of a resource or a secret. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** A long-running service. It runs until the signal fires and then ends by itself. It throws when it cannot go on. */
export interface Service {
  readonly name: string;
  run(signal: AbortSignal): Promise<void>;
}

/** If a service was ready for this long, in ms, before it fails, the backoff begins again at its shortest pause. */
const STEADY = 30_000;
/** Time in ms in which a refused login is tried again, if the server accepted it before: its passwords may be changing. */
const REFUSED_PATIENCE = 60_000;

export type ServiceState = 'starting' | 'running' | 'waiting';

/** The state of one service, as `/readyz` shows it. */
export interface ServiceHealth {
  readonly name: string;
  readonly state: ServiceState;
  /** The reason why it waits. */
  readonly reason: string | undefined;
  /** How often it failed and was started again. */
  readonly failures: number;
}

/** Takes the reports of a service about its readiness. */
export interface HealthReporter {
  ready(): void;
  /** Reports that the service runs and waits. The probes show the reason. */
  waiting?(error: unknown): void;
}

/**
 * Keeps a service running: what it throws is logged and it starts afresh after a backoff, from what it has stored.
 * A crash of the process is the same thing, only slower; so there is one way to recover and it is used often.
 * An error that an operator has to mend (`remedyFor` says `stop`) is not retried: it ends the supervisor. Refused
 * credentials end it at once at the start, and after a minute once the service has worked. A service that has worked and is
 * `blocked` waits for as long as it takes.
 */
export class Supervisor {
  readonly name: string;
  #state: ServiceState = 'starting';
  #reason: string | undefined;
  #failures = 0;
  /** The service has worked, or has run for long. */
  #established = false;
  /** Since when the credentials are refused without a pause. */
  #refusedSince: number | undefined;
  readonly #start: (health: HealthReporter) => Service;
  readonly #logger: Logger;
  readonly #refusedPatience: number;

  constructor(
    name: string,
    logger: Logger,
    start: (health: HealthReporter) => Service,
    refusedPatience = REFUSED_PATIENCE,
  ) {
    this.name = name;
    this.#logger = logger;
    this.#start = start;
    this.#refusedPatience = refusedPatience;
  }

  get health(): ServiceHealth {
    return { name: this.name, state: this.#state, reason: this.#reason, failures: this.#failures };
  }

  async run(signal: AbortSignal): Promise<void> {
    let attempt = 0;
    let readyAt = Infinity;
    const ready = (): void => {
      if (this.#state !== 'running') readyAt = Date.now();
      this.#established = true;
      this.#state = 'running';
      this.#reason = undefined;
    };
    const waiting = (error: unknown): void => {
      this.#state = 'waiting';
      this.#reason = probeMessage(error);
    };
    while (!signal.aborted) {
      const begun = Date.now();
      try {
        await this.#start({ ready, waiting }).run(signal);
        if (signal.aborted) return;
        throw new HeadwaterError('internal', `${this.name} ended by itself`);
      } catch (error) {
        if (isAbort(error, signal)) return;
        const now = Date.now();
        if (now - readyAt > STEADY) {
          attempt = 0;
          this.#refusedSince = undefined;
        }
        if (now - begun > STEADY) this.#established = true;
        readyAt = Infinity;
        this.#failures++;
        waiting(error);
        const fatal = this.#isFatal(error, now);
        this.#log(error, { fatal, attempt });
        if (fatal) throw error;
        await sleep(backoff(attempt++, Math.random), signal).catch(() => undefined);
      }
    }
  }

  #isFatal(error: unknown, now: number): boolean {
    if (remedyFor(error) !== 'stop') {
      this.#refusedSince = undefined;
      return false;
    }
    if (!(error instanceof HeadwaterError) || !this.#established) return true;
    if (error.code === 'blocked') return false; // an operator sees it in /readyz, and it goes on when it is mended
    if (error.code !== 'refused') return true;
    this.#refusedSince ??= now;
    return now - this.#refusedSince > this.#refusedPatience;
  }

  #log(error: unknown, { fatal, attempt }: { readonly fatal: boolean; readonly attempt: number }): void {
    const words = `${this.name}: ${messageOf(error)}`;
    // A retryable failure, as a server that is not up yet, needs no stack trace.
    if (!fatal && error instanceof HeadwaterError && error.retryable)
      this.#logger.warn({ service: this.name, code: error.code, attempt }, words);
    else this.#logger.error({ service: this.name, err: error, attempt }, words);
  }
}
