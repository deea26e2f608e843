import { formatLsn } from '../base/positions.ts';
import type { Service } from '../base/service.ts';
import type { CaptureOptions } from './capture-options.ts';
import { Following } from './following.ts';
import { load } from './load.ts';
import { startMode } from './position.ts';

/**
 * Role: follows the source's write-ahead log into the resource topics and gives each export request its cut.
 * Invariants: whole source transactions, in commit order, exactly once; a position is confirmed to PostgreSQL only when
 * Kafka has stored it; a cut never falls inside a source transaction.
 * A crash: the Kafka transaction is aborted when the next capture opens the log, which reads the stored position and goes on
 * from there. A source transaction that was too big for one Kafka transaction is then partly repeated, in order: its last
 * records are the same again, and readers take the newest.
 */
export class Capture implements Service {
  readonly name = 'capture';
  readonly #options: CaptureOptions;

  constructor(options: CaptureOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { source, logger, health } = this.#options;
    const onWaiting = (): void => {
      logger.info({}, 'another capture leads; waiting');
      health.ready(); // to stand by is to be well
    };
    const onSilent = ({ pid }: { readonly pid: number }): void =>
      logger.warn({ pid }, 'the capture that leads is silent; its session was ended');
    const lead = await source.lead(signal, { onWaiting, onSilent });
    try {
      await this.#follow(AbortSignal.any([signal, lead.lost]));
      if (!signal.aborted) lead.lost.throwIfAborted();
    } catch (error) {
      throw lead.lost.aborted && !signal.aborted ? lead.lost.reason : error;
    } finally {
      await lead.release();
      logger.info({}, 'capture ends');
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { source, openLog, positions, logger } = this.#options;
    await source.prepare();
    const log = await openLog();
    try {
      const systemId = await source.systemId();
      const stored = await positions.read();
      const mode = startMode(stored, systemId, await source.slotState());
      logger.info({ mode, lsn: stored && formatLsn(stored.lsn) }, `capture starts: ${mode}`);
      const start =
        mode === 'stream' && stored
          ? stored
          : await load({
              ...this.#options,
              log,
              systemId,
              stored,
              mode: mode === 'stream' ? 'reload' : mode,
              signal,
            });
      await new Following(this.#options, log, start).run(signal);
    } finally {
      await log.close();
    }
  }
}
