import type { Middleware } from 'koa';
import { refused } from '../audit/entries.ts';
import { HeadwaterError, messageOf } from '../base/errors.ts';
import type { AuditEntry } from '../events/audit.ts';
import { agentOf } from './client.ts';
import { answerTo } from './errors.ts';
import type { GatewayContext } from './gateway-context.ts';

/** Refusals of one address that are stored one by one in each minute. The others are counted. */
const MOST = 100;
const MINUTE = 60_000;
/** Characters of a reason. */
const MAX_REASON = 500;
const SEARCHES = new Set(['_typeFilter', 'scope']);

type Refusal = Parameters<typeof refused>[1];
type RefusalKind = Parameters<typeof refused>[0];
type Auditing = Pick<GatewayContext, 'audit' | 'logger'>;

/** Puts every answer that refuses somebody into the audit log: without a good token, beyond the rights, another client's job or file. */
export function auditedRefusals(gateway: Auditing): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      const { status } = answerTo(error);
      const isOwned = /\/\$export-(?:status|file)\//.test(ctx.path);
      if (status === 401 || status === 403 || (status === 404 && isOwned)) {
        const kind = ctx.path.includes('/$export-file/') ? 'file.refused' : 'export.refused';
        const details: [string, string][] = [['path', ctx.path.slice(0, MAX_REASON)]];
        await auditRefusal(gateway, kind, { agent: agentOf(ctx), reason: reasonOf(error), details });
      }
      throw error;
    }
  };
}

/** The reason as the log tells it. The values of searches may be names of patients, so they are left out. */
function reasonOf(error: unknown): string {
  if (!(error instanceof HeadwaterError)) return messageOf(error).slice(0, MAX_REASON);
  const { code, subject, message } = error;
  return subject !== undefined && SEARCHES.has(subject)
    ? `${code}: ${subject}`
    : `${code}: ${message}`.slice(0, MAX_REASON);
}

/** The refusals of an address in the minute that began at `began`, in ms. */
interface Minute {
  readonly began: number;
  stored: number;
  beyond: number;
}

const minutes = new WeakMap<GatewayContext['audit'], Map<string, Minute>>();

/** Stores a refusal. It never changes the answer: while it cannot be stored, a line of the log stands for it. */
export async function auditRefusal(gateway: Auditing, kind: RefusalKind, refusal: Refusal): Promise<void> {
  const address = refusal.agent?.address ?? '';
  const minute = minuteOf(gateway, address);
  if (minute.stored >= MOST) {
    minute.beyond++;
    return;
  }
  minute.stored++;
  await store(gateway, refused(kind, refusal));
}

function minuteOf(gateway: Auditing, address: string): Minute {
  const byAddress = minutes.get(gateway.audit) ?? new Map<string, Minute>();
  minutes.set(gateway.audit, byAddress);
  const found = byAddress.get(address);
  if (found) return found;
  const minute = { began: Date.now(), stored: 0, beyond: 0 };
  byAddress.set(address, minute);
  setTimeout(() => {
    byAddress.delete(address);
    if (minute.beyond === 0) return;
    const details: [string, string][] = [['refused besides', String(minute.beyond)]];
    void store(
      gateway,
      refused('export.refused', { agent: { address }, reason: 'too many to tell each', details }),
    );
  }, MINUTE).unref();
  return minute;
}

async function store({ audit, logger }: Auditing, entry: AuditEntry): Promise<void> {
  try {
    await audit.record(entry);
  } catch (error) {
    logger.error(
      { err: error, kind: entry.kind, reason: entry.reason },
      `the audit log lacks a refusal: ${messageOf(error)}`,
    );
  }
}
