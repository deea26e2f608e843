import { resolveGrant } from '../access/grants.ts';
import type { Identity } from '../access/identity.ts';
import type { AccessPolicy } from '../access/policy.ts';
import { HeadwaterError } from '../base/errors.ts';
import { stamp } from '../base/positions.ts';
import type { Offset, Stamp } from '../base/positions.ts';
import type { Judged } from '../cohort/rights.ts';
import { compileSource } from '../deidentify/source.ts';
import { redactionsOf } from '../events/grant.ts';
import type { Grant } from '../events/grant.ts';
import { EVERYTHING } from '../events/request.ts';
import type { ExportLevel } from '../events/request.ts';
import type { TaskRights } from '../events/tasks.ts';
import { compileRedactions } from '../fhir/redact.ts';
import type { Redaction } from '../fhir/redaction.ts';
import { compileTypeFilters } from '../fhir/search/type-filter.ts';
import { withSecrets } from '../replay/redaction-keys.ts';

/** The verdicts of the rules on a resource, and the line of an export. */
export interface Explained {
  readonly patients: readonly string[];
  readonly rules: readonly { readonly id: string; readonly says: string }[];
  /** The rule that lets it through. */
  readonly by: string | undefined;
  /** The resource as the export would have it. */
  readonly line: string | undefined;
}

export interface Asked {
  readonly identity: Identity;
  readonly level: ExportLevel;
  readonly group?: string | undefined;
  /** Name of a configuration that de-identifies. */
  readonly deidentify?: string | undefined;
  /** Ends of the topic of Group, if there is one. */
  readonly groupEnds?: readonly Offset[];
  /** The folder of keys for redactions. */
  readonly keysFolder: string | undefined;
  /** The time of the cut. */
  readonly at: Stamp;
}

/** A version of a resource. */
export interface Subject {
  readonly type: string;
  readonly patients: readonly string[];
  readonly lastUpdated: number | null;
  readonly json: string | undefined;
}

/**
 * Judges a resource as an export of the client would. Throws as its kick-off would be refused.
 * @param verdicts returns the verdict of each rule
 */
export async function judgement(
  policy: AccessPolicy,
  asked: Asked,
  subject: Subject,
  verdicts: (rights: TaskRights) => Promise<Judged[]>,
): Promise<Explained> {
  const { identity, level, group, deidentify, groupEnds = [], keysFolder, at } = asked;
  const request = { ...EVERYTHING, level, group, deidentify };
  const granted = resolveGrant(policy, identity, request, { lenient: false });
  const rights = await withSecrets({ grant: granted.grant, groupEnds, time: at }, keysFolder);
  const { grant } = rights;
  const { type, patients, lastUpdated } = subject;
  const judged = await verdicts(rights);
  const denied = judged.some(({ rule, holds }) => holds === true && rule.effect === 'deny');
  const allowing = judged.find(({ rule, holds }) => holds === true && rule.effect === 'allow');
  const allowed = grant.types.includes(type) && !denied ? allowing?.rule : undefined;
  const seen = allowed && redactedLine(subject, grant, allowed.redact);
  const limits = compileTypeFilters(grant.queries ?? []);
  const matching = seen === undefined || limits.matches(type, JSON.parse(seen), lastUpdated);
  const by = matching ? allowed : undefined;
  return {
    patients,
    rules: judged.map((one) => ({
      id: one.rule.id,
      says: one.rule === allowed && !matching ? 'holds, but no search of it matches' : wordsOf(one),
    })),
    by: by?.id,
    line: by && seen && (await deidentified(policy, grant, { json: seen, patients, at })),
  };
}

/** Returns the identity of a client of the access file. */
export function identityOf(policy: AccessPolicy, id: string): Identity {
  const client = policy.clients.get(id);
  if (!client) throw new HeadwaterError('bad-request', `--as ${id}: the access file has no such client`);
  const { roles, scopes, attributes } = client;
  return {
    ...{ issuer: '', client: id, subject: undefined, patient: undefined, tokenId: undefined },
    ...{ roles, scopes, attributes },
  };
}

/** The present time as that of a cut. */
export function now(): Stamp {
  return stamp(Date.now());
}

function wordsOf({ rule, holds }: Judged): string {
  if (holds === undefined) return 'is about other types';
  if (!holds) return 'does not hold';
  return rule.effect === 'deny' ? 'holds, and denies' : 'holds';
}

function redactedLine(
  { json, type }: Subject,
  { rules }: Grant,
  own: readonly Redaction[],
): string | undefined {
  if (json === undefined) return undefined;
  if (rules.every(({ redact }) => redact.length === 0)) return json;
  const of = (one: string): readonly Redaction[] | undefined => redactionsOf({ rules }, one);
  const redact = compileRedactions(type, { own, of, marked: (of(type) ?? []).length > 0 });
  const bytes = Buffer.from(json);
  return redact(bytes, 0, bytes.length).toString();
}

async function deidentified(
  { deidentification }: AccessPolicy,
  { deidentify }: Grant,
  { json, patients, at }: { readonly json: string; readonly patients: readonly string[]; readonly at: Stamp },
): Promise<string> {
  const source = deidentify && deidentification?.get(deidentify.name);
  if (!source) return json;
  return (await compileSource(source)).apply(json, { at: Number(at), patients });
}
