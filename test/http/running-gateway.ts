import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type Koa from 'koa';
import { Registry } from 'prom-client';
import type { Access } from '../../src/access/access.ts';
import type { AuditEntry } from '../../src/events/audit.ts';
import type { ServiceHealth } from '../../src/base/service.ts';
import { createGateway } from '../../src/http/gateway.ts';
import { createHttpServer } from '../../src/http/http-server.ts';
import type { GatewayContext, GatewaySettings } from '../../src/http/gateway-context.ts';
import { parseSettings, storageSettings } from '../../src/config/settings.ts';
import { checkStore } from '../../src/storage/storage-check.ts';
import { FsStore } from '../../src/storage/fs-store.ts';
import { MemoryJobs } from './memory-jobs.ts';

/** A real gateway on a free port, on jobs in memory and a store in a folder of its own. */
export interface RunningGateway {
  readonly app: Koa;
  readonly url: string;
  readonly jobs: MemoryJobs;
  readonly store: FsStore;
  readonly health: ServiceHealth[];
  readonly logged: string[];
  /** The audit log. */
  readonly audited: AuditEntry[];
  /** Thrown by the audit log while it is set. */
  readonly auditFailure: { error: Error | undefined };
  /** Added to the clock. */
  readonly time: { ahead: number };
  /** The directory that /admin/storage/health checks. */
  readonly checked: { directory: string };
  /** A request with the headers of a well-behaved client. */
  ask(
    path: string,
    init?: Omit<RequestInit, 'headers'> & { readonly headers?: Record<string, string> },
  ): Promise<Response>;
  stop(): Promise<void>;
}

export async function runGateway(
  settings: Partial<GatewaySettings> = {},
  jobs = new MemoryJobs(),
  accessOf?: (url: string) => Promise<Access>,
  groups?: GatewayContext['groups'],
): Promise<RunningGateway> {
  const root = await mkdtemp(join(tmpdir(), 'headwater-gateway-'));
  const store = new FsStore(root);
  const health: ServiceHealth[] = [{ name: 'gateway', state: 'running', reason: undefined, failures: 0 }];
  const logged: string[] = [];
  const audited: AuditEntry[] = [];
  const auditFailure: { error: Error | undefined } = { error: undefined };
  const time = { ahead: 0 };
  const checked = { directory: root };
  const log = (fields: object, message: string): void =>
    void logged.push(`${message} ${JSON.stringify(fields)}`);
  const server = createHttpServer((request, response) => void handle(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  const app = createGateway({
    settings: {
      publicUrl: url,
      urlSecret: 'a secret of more than 32 characters',
      urlTtlMs: 3_600_000,
      fileTokens: false,
      retentionMs: 86_400_000,
      requirePrefer: true,
      planWaitMs: 1_000,
      strictAccept: false,
      containers: ['research'],
      exportBinary: true,
      maxBodyBytes: 2 ** 20 * 16,
      corsOrigins: [],
      sourceBaseUrls: ['https://fhir.example.org/r4'],
      topicPrefix: 'headwater',
      ...settings,
    },
    jobs,
    audit: {
      record: (entry) =>
        auditFailure.error ? Promise.reject(auditFailure.error) : Promise.resolve(void audited.push(entry)),
    },
    store,
    access: await accessOf?.(url),
    groups,
    checkStorage: () =>
      checkStore(
        storageSettings(parseSettings({ HEADWATER_STORAGE_URL: pathToFileURL(checked.directory).href }, [])),
      ),
    health: () => health,
    metrics: new Registry(),
    clock: () => Date.now() + time.ahead,
    logger: { debug: log, info: log, warn: log, error: log },
  });
  const handle = app.callback();
  return {
    app,
    url,
    jobs,
    store,
    health,
    logged,
    audited,
    auditFailure,
    time,
    checked,
    ask: (path, init = {}) =>
      fetch(path.startsWith('http') ? path : url + path, {
        ...init,
        headers: {
          accept: 'application/fhir+json',
          prefer: 'respond-async',
          'accept-encoding': 'identity',
          ...init.headers,
        },
      }),
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** The answer is an OperationOutcome that says this. */
export async function assertOutcome(response: Response, status: number, says: RegExp): Promise<void> {
  const text = await response.text();
  assert.equal(response.status, status, text);
  assert.match(response.headers.get('content-type') ?? '', /^application\/fhir\+json/);
  const outcome = JSON.parse(text) as {
    resourceType: string;
    issue: { severity: string; code: string; diagnostics: string }[];
  };
  assert.equal(outcome.resourceType, 'OperationOutcome');
  assert.equal(outcome.issue.length, 1);
  assert.match(outcome.issue[0]?.diagnostics ?? '', says);
}
