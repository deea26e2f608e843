import { isDeepStrictEqual } from 'node:util';
import { readAccessCases } from '../access/access-cases.ts';
import type { AccessCase } from '../access/access-cases.ts';
import { readAccessFile } from '../access/access-file.ts';
import type { Identity } from '../access/identity.ts';
import type { AccessPolicy } from '../access/policy.ts';
import { HeadwaterError } from '../base/errors.ts';
import { judgeGiven } from '../cohort/rights.ts';
import { patientsOf } from '../fhir/patient-compartment.ts';
import { identityOf, judgement, now } from './access-judgement.ts';
import type { Explained } from './access-judgement.ts';

/** The result of a case. */
export interface CaseResult {
  readonly name: string;
  /** Differences from what is expected, a line each; empty if the case holds. */
  readonly problems: readonly string[];
  /** The resource as the export would have it. */
  readonly line: string | undefined;
}

/** Judges the resource of each case of a file by an access file, without any server. */
export async function testAccess(
  { file, keysFolder }: { readonly file: string; readonly keysFolder: string | undefined },
  cases: string,
): Promise<CaseResult[]> {
  const policy = await readAccessFile(file, keysFolder);
  const results: CaseResult[] = [];
  for (const one of await readAccessCases(cases)) results.push(await resultOf(policy, one, keysFolder));
  return results;
}

async function resultOf(
  policy: AccessPolicy,
  one: AccessCase,
  keysFolder: string | undefined,
): Promise<CaseResult> {
  const { name, expect, level, group, groups, resource } = one;
  const { type, id, json } = resource;
  const patients = patientsOf(type, id, JSON.parse(json));
  const asked = { identity: identityFor(policy, one), level, group, keysFolder, at: now() };
  const members = new Map(Object.entries(groups));
  let found: Explained;
  try {
    found = await judgement(policy, asked, { type, patients, lastUpdated: null, json }, ({ grant }) =>
      Promise.resolve(judgeGiven({ type, patients }, grant, members)),
    );
  } catch (error) {
    if (!(error instanceof HeadwaterError) || !REFUSALS.has(error.code)) throw error;
    const problems = expect === 'refused' ? [] : [`the kick-off is refused: ${error.message}`];
    return { name, problems, line: undefined };
  }
  return { name, problems: problemsOf(one, found), line: found.line };
}

const REFUSALS: ReadonlySet<string> = new Set(['forbidden', 'insufficient-scope']);

function identityFor(policy: AccessPolicy, { as, identity }: AccessCase): Identity {
  if (identity === undefined) return identityOf(policy, as ?? '');
  const { roles, patient, scopes, attributes } = identity;
  const unknown = roles.find((role) => !policy.roles.has(role));
  if (unknown !== undefined)
    throw new HeadwaterError('bad-request', `identity.roles: the access file has no role "${unknown}"`);
  return {
    issuer: '',
    client: '',
    subject: undefined,
    tokenId: undefined,
    roles,
    patient,
    scopes,
    attributes,
  };
}

function problemsOf(
  { expect, by, has, lacks, equals }: AccessCase,
  { by: rule, line, rules }: Explained,
): string[] {
  const found = rule === undefined ? 'withheld' : 'exported';
  if (expect !== found) {
    const said = rules
      .filter(({ says }) => says !== 'is about other types')
      .map(({ id, says }) => `${id} ${says}`);
    return [
      `it is ${found}${rule === undefined ? '' : ` by ${rule}`}, not ${expect} (${said.join('; ') || 'no rule is about it'})`,
    ];
  }
  return [
    ...(by !== undefined && by !== rule ? [`it is exported by ${rule ?? 'no rule'}, not by ${by}`] : []),
    ...has.filter((text) => line?.includes(text) !== true).map((text) => `it lacks ${text}`),
    ...lacks.filter((text) => line?.includes(text) === true).map((text) => `it has ${text}`),
    ...(equals === undefined || (line !== undefined && isDeepStrictEqual(JSON.parse(line), equals))
      ? []
      : [`it is ${line ?? 'nothing'}`]),
  ];
}
