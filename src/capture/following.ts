import { stamp } from '../base/positions.ts';
import type { Lsn } from '../base/positions.ts';
import type { HealthReporter, Logger } from '../base/service.ts';
import type { Position } from '../events/position.ts';
import { ChangeDeriver } from './change-deriver.ts';
import { ChangeWriter } from './change-writer.ts';
import type { ChangeDestination } from './change-writer.ts';
import { CommandWriter } from './command-writer.ts';
import { CoverageWatch } from './coverage-watch.ts';
import { LogSender } from './log-sender.ts';
import { PositionKeeper } from './position-keeper.ts';
import type { RowRules } from './read-row.ts';
import { ReplicationStream } from './replication-stream.ts';
import { commandKeys } from './requests.ts';
import type { Requests } from './requests.ts';
import type { ResourceLog } from './resource-log.ts';
import { SourceLookup } from './source-lookup.ts';
import type { Source } from './source.ts';
import { StampClock } from './stamp-clock.ts';
import { TransactionReceiver } from './transaction-receiver.ts';
import { probeWal } from './wal-probe.ts';

export interface FollowingOptions {
  readonly source: Source;
  readonly destination: ChangeDestination & { readonly resources: ResourceLog };
  readonly requests: Requests;
  readonly rows: RowRules;
  readonly logger: Logger;
  readonly health: HealthReporter;
}

/** Follows the stream from a stored position until the signal fires or an error ends it. */
export class Following {
  readonly #options: FollowingOptions;
  readonly #start: Position;
  readonly #writer: ChangeWriter;
  readonly #commands: CommandWriter;
  readonly #watch: CoverageWatch;
  readonly #deriver: ChangeDeriver;
  readonly #keeper: PositionKeeper;
  readonly #sender: LogSender;
  readonly #lookups: SourceLookup;
  readonly #receiver: TransactionReceiver;

  constructor(options: FollowingOptions, start: Position) {
    const { source, destination, requests, rows, logger, health } = options;
    const { resources, log, metrics } = destination;
    this.#options = options;
    this.#start = start;
    const stamps = new StampClock(start.stamp);
    const writer = (this.#writer = new ChangeWriter(destination, {
      totals: start.types,
      topicStates: start.topics,
      epoch: start.epoch ?? { id: '', began: stamp(0) },
      reloaded: start.reloaded,
      writesZones: true,
    }));
    const watch = (this.#watch = new CoverageWatch({
      source,
      start,
      identities: resources.topics.identities,
      topics: () => writer.topicStates(),
    }));
    const keeper = (this.#keeper = new PositionKeeper(destination, health, start.lsn, () => ({
      ...start,
      coverage: watch.proved,
      stamp: stamps.last,
      types: writer.totals(),
      topics: writer.topicStates(),
    })));
    const sender = (this.#sender = new LogSender(log, health, () => keeper.commitPart()));
    const deriver = (this.#deriver = new ChangeDeriver(rows));
    const commands = (this.#commands = new CommandWriter(log, writer, stamps, requests));
    const lookups = (this.#lookups = new SourceLookup(() => source.catalogSession()));
    const parts = { resources, requests, watch, deriver, stamps, writer, commands, sender, keeper };
    const reading = { fold: source.preset.fold(), lookups };
    this.#receiver = new TransactionReceiver({ ...parts, ...reading, metrics, logger }, start.lsn);
  }

  async run(signal: AbortSignal): Promise<void> {
    await this.#prepareTopics();
    const { requests, destination } = this.#options;
    this.#commands.know(await commandKeys(destination.resources.reader, requests.topic, signal));
    const stop = new AbortController();
    const { broken } = this.#sender;
    let stream: ReplicationStream | undefined;
    let probing: Promise<void> | undefined;
    try {
      await this.#sender.during(this.#watch.verify());
      stream = await this.#openStream();
      const uncovered = this.#watch.run(AbortSignal.any([signal, stop.signal]));
      uncovered.catch((error: unknown) => stop.abort(error));
      probing = this.#probe(stream, stop.signal);
      const either = AbortSignal.any([signal, broken, stop.signal]);
      while (!signal.aborted) {
        for (const event of await this.#sender.during(stream.take(either))) {
          if (event.kind === 'advanced') this.#keeper.advancedTo(event.position);
          else await this.#receiver.receive(event.message, signal);
        }
        stop.signal.throwIfAborted();
        await this.#keeper.store(this.#sender, stream);
      }
    } catch (error) {
      if (broken.aborted) throw broken.reason;
      throw stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      stop.abort();
      await this.#sender.idle().catch(() => undefined);
      await stream?.close();
      await Promise.all([this.#watch.close(), probing, this.#deriver.close(), this.#lookups.close()]);
    }
  }

  async #prepareTopics(): Promise<void> {
    const listed = await this.#options.destination.resources.topics.list();
    for (const type of new Set([...listed, ...this.#start.topics.map(({ type }) => type)]))
      if (!this.#writer.ready(type)) await this.#writer.prepare(type);
  }

  #openStream(): Promise<ReplicationStream> {
    const { url, slot, publication } = this.#options.source;
    const { lsn: from, timeline } = this.#start;
    return ReplicationStream.start(url, { slot, publication, from, timeline });
  }

  #probe(stream: ReplicationStream, signal: AbortSignal): Promise<void> {
    const { source, destination } = this.#options;
    const onProbe = (end: Lsn): void => {
      this.#keeper.probed(end);
      stream.askPosition();
    };
    return probeWal(source, { lag: destination.metrics.lag, onProbe }, signal);
  }
}
