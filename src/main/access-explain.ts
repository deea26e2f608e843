import { readAccessFile } from '../access/access-file.ts';
import { resolveGrant } from '../access/grants.ts';
import type { Identity } from '../access/identity.ts';
import type { AccessPolicy } from '../access/policy.ts';
import { HeadwaterError } from '../base/errors.ts';
import { stamp } from '../base/positions.ts';
import type { GroupLog } from '../cohort/group-directory.ts';
import { judge } from '../cohort/rights.ts';
import type { Judged } from '../cohort/rights.ts';
import { versionsOf } from '../cohort/versions.ts';
import { redactionsOf } from '../events/grant.ts';
import type { Grant } from '../events/grant.ts';
import { EVERYTHING } from '../events/request.ts';
import type { ExportLevel } from '../events/request.ts';
import type { ResourceChange } from '../events/resource-change.ts';
import { compileRedactions } from '../fhir/redact.ts';
import type { Redaction } from '../fhir/redaction.ts';
import { compileTypeFilters } from '../fhir/search/type-filter.ts';
import { isId } from '../fhir/reference.ts';
import { isResourceType } from '../fhir/resource-types.ts';
import { withSecrets } from '../replay/redaction-keys.ts';

export interface ExplainOptions {
  /** Id of a client of the access file. */
  readonly as: string;
  readonly level: ExportLevel;
  readonly group?: string | undefined;
  /** `Type/id`. */
  readonly resource: string;
}

export interface Explained {
  readonly patients: readonly string[];
  readonly rules: readonly { readonly id: string; readonly says: string }[];
  /** The rule that lets it through. */
  readonly by: string | undefined;
  /** The resource as the export would have it. */
  readonly line: string | undefined;
}

/** Returns what the rules say of a resource as the log has it now. Throws as a kick-off of this client would be refused. */
export async function explain(
  { file, keysFolder }: { readonly file: string; readonly keysFolder: string | undefined },
  { as, level, group, resource }: ExplainOptions,
  log: GroupLog,
  signal: AbortSignal,
): Promise<Explained> {
  const policy = await readAccessFile(file, keysFolder);
  const [type = '', id = ''] = resource.split('/');
  if (!isResourceType(type) || !isId(id))
    throw new HeadwaterError('bad-request', `--resource ${resource}: write Type/id`);
  const asked = { ...EVERYTHING, level, group };
  const granted = resolveGrant(policy, identityOf(policy, as), asked, { lenient: false });
  const ends = await log.reader.ends(log.topicOf(type));
  const version = (await versionsOf(log, { type, ids: [id], ends, before: undefined }, signal)).get(id)?.now;
  if (version === undefined || version.operation === 'delete')
    throw new HeadwaterError('not-found', `there is no ${resource} in the log`);
  const { patients } = version;
  const groupEnds = await log.reader.ends(log.topicOf('Group'));
  const rights = await withSecrets({ grant: granted.grant, groupEnds, time: stamp(Date.now()) }, keysFolder);
  const { grant } = rights;
  const judged = await judge({ type, patients }, rights, log, signal);
  const denied = judged.some(({ rule, holds }) => holds === true && rule.effect === 'deny');
  const allowing = judged.find(({ rule, holds }) => holds === true && rule.effect === 'allow');
  const allowed = grant.types.includes(type) && !denied ? allowing?.rule : undefined;
  const seen = allowed && lineOf(version, type, grant, allowed.redact);
  const limits = compileTypeFilters(grant.queries ?? []);
  const matching = seen === undefined || limits.matches(type, JSON.parse(seen), version.lastUpdated);
  const by = matching ? allowed : undefined;
  return {
    patients,
    rules: judged.map(({ rule, holds }) => ({ id: rule.id, says: wordsOf({ rule, holds }) })),
    by: by?.id,
    line: by && seen,
  };
}

function identityOf(policy: AccessPolicy, id: string): Identity {
  const client = policy.clients.get(id);
  if (!client) throw new HeadwaterError('bad-request', `--as ${id}: the access file has no such client`);
  const { roles, scopes, attributes } = client;
  return {
    ...{ issuer: '', client: id, subject: undefined, patient: undefined, tokenId: undefined },
    ...{ roles, scopes, attributes },
  };
}

function wordsOf({ rule, holds }: Judged): string {
  if (holds === undefined) return 'is about other types';
  if (!holds) return 'does not hold';
  return rule.effect === 'deny' ? 'holds, and denies' : 'holds';
}

function lineOf(
  { body }: ResourceChange,
  type: string,
  { rules }: Grant,
  own: readonly Redaction[],
): string | undefined {
  if (!body) return undefined;
  const bytes = Buffer.from(body);
  if (rules.every(({ redact }) => redact.length === 0)) return bytes.toString();
  const of = (one: string): readonly Redaction[] | undefined => redactionsOf({ rules }, one);
  const redact = compileRedactions(type, { own, of, marked: (of(type) ?? []).length > 0 });
  return redact(bytes, 0, bytes.length).toString();
}
