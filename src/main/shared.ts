import type pg from 'pg';
import type { Access } from '../access/access.ts';
import { systemClock } from '../base/clock.ts';
import type { Logger, ServiceHealth } from '../base/service.ts';
import type { Settings } from '../config/settings.ts';
import { policyLoaded } from '../audit/entries.ts';
import { AuditTrail } from '../jobs/audit-trail.ts';
import { jobTables, schemaOf } from '../jobs/schema.ts';
import type { JobTables } from '../jobs/schema.ts';
import { storageSettings } from '../config/settings.ts';
import { openPool } from '../database/pool.ts';
import { openStore } from '../storage/open-store.ts';
import type { Store } from '../storage/open-store.ts';
import { LogAccess } from './log-access.ts';
import type { ProcessMetrics } from './process-metrics.ts';

export interface SharedOptions {
  readonly settings: Settings;
  readonly metrics: ProcessMetrics;
  readonly logger: Logger;
  readonly health: () => readonly ServiceHealth[];
}

/** The parts that the services of one process share. Log and database are opened when a role first uses them, because not every role has their settings. */
export class Shared {
  readonly settings: Settings;
  readonly metrics: ProcessMetrics;
  readonly logger: Logger;
  readonly health: () => readonly ServiceHealth[];
  readonly tables: JobTables;
  #log: LogAccess | undefined;
  #pool: pg.Pool | undefined;
  #store: Promise<Store> | undefined;
  #access: Promise<Access> | undefined;
  #audit: AuditTrail | undefined;

  constructor({ settings, metrics, logger, health }: SharedOptions) {
    this.settings = settings;
    this.metrics = metrics;
    this.logger = logger;
    this.health = health;
    this.tables = jobTables(schemaOf(settings.topicPrefix));
  }

  get log(): LogAccess {
    return (this.#log ??= new LogAccess(this.settings, this.logger, (topic) => this.metrics.gaveUp(topic)));
  }

  get pool(): pg.Pool {
    return (this.#pool ??= openPool({ url: this.settings.sourceUrl }, this.logger));
  }

  get audit(): AuditTrail {
    return (this.#audit ??= new AuditTrail(this.pool, this.tables));
  }

  /** Opens the store when a role first uses it, because the SDKs of clouds are large. */
  store(): Promise<Store> {
    return (this.#store ??= openStore(storageSettings(this.settings)));
  }

  /** Opens the access file when the gateway starts; undefined in an open server. */
  access(): Promise<Access> | undefined {
    const { accessFile: file, keysFolder, publicUrl, urlSecret: secret } = this.settings;
    if (file === undefined) return undefined;
    const open = async (): Promise<Access> => {
      // Loaded here, so that other roles save the memory of its libraries.
      const [{ Access }, { UsedAssertions }] = await Promise.all([
        import('../access/access.ts'),
        import('../access/issuer/used-assertions.ts'),
      ]);
      return Access.open({
        ...{ file, keysFolder, secret, clock: systemClock, logger: this.logger },
        baseUrl: `${publicUrl}/fhir`,
        used: new UsedAssertions(this.pool, this.tables.usedAssertion),
        onPolicy: (hash) => this.audit.record(policyLoaded(hash)),
      });
    };
    return (this.#access ??= open());
  }

  async close(): Promise<void> {
    await this.#log?.close();
    await this.#pool?.end();
  }
}
