import type { Access } from '../access/access.ts';
import type { GroupDirectory } from '../cohort/group-directory.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger, ServiceHealth } from '../base/service.ts';
import type { Settings } from '../config/settings.ts';
import type { Audit } from '../jobs/audit-trail.ts';
import type { Jobs } from '../jobs/job.ts';
import type { StorageReport } from '../storage/storage-check.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Registry } from 'prom-client';

/** The parts that every operation of the gateway uses. */
export interface GatewayContext {
  readonly settings: GatewaySettings;
  readonly jobs: Jobs;
  readonly audit: Audit;
  /** undefined in an open server. */
  readonly access: Access | undefined;
  /** undefined in a gateway without settings of Kafka. */
  readonly groups: Pick<GroupDirectory, 'ids' | 'read'> | undefined;
  readonly store: ObjectStore;
  readonly checkStorage: () => Promise<StorageReport>;
  /** The health of every service of this process. */
  readonly health: () => readonly ServiceHealth[];
  readonly metrics: Registry;
  readonly clock: Clock;
  readonly logger: Logger;
}

export type GatewaySettings = Pick<
  Settings,
  | 'publicUrl'
  | 'urlSecret'
  | 'urlTtlMs'
  | 'fileTokens'
  | 'retentionMs'
  | 'requirePrefer'
  | 'planWaitMs'
  | 'strictAccept'
  | 'containers'
  | 'exportBinary'
  | 'maxBodyBytes'
  | 'corsOrigins'
  | 'sourceBaseUrls'
  | 'topicPrefix'
>;

/** FHIR's base path; the rest of the base URL is the setting PUBLIC_URL. */
export const FHIR_BASE = '/fhir';
