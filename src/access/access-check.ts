import { isAbout } from '../events/grant.ts';
import { criteriaProblems } from './criteria.ts';
import { redactionProblems } from '../fhir/redaction.ts';
import { RESOURCE_TYPES } from '../fhir/resource-types.ts';
import type { AccessPolicy, Role, Rule } from './policy.ts';

/** Returns one sentence for each problem that the schema does not find, such as an unknown name or a rule that never applies. */
export function checkPolicy(policy: AccessPolicy): string[] {
  const { embedded, external, clients, roles } = policy;
  const problems: string[] = [];
  if (!embedded && external.length === 0)
    problems.push('issuers: there is none, so no token can be verified');
  if (!embedded && clients.size > 0)
    problems.push('clients: they get their tokens from issuers.embedded, which is missing');
  const known = (place: string, names: Iterable<string>): void => {
    for (const name of names) if (!roles.has(name)) problems.push(`${place}: there is no role "${name}"`);
  };
  for (const [id, client] of clients) known(`clients.${id}.roles`, client.roles);
  for (const { name, roles: mapped } of external) known(`issuers.external.${name}.roles`, mapped.values());
  problems.push(
    ...repeated(
      'issuers.external: issuer',
      external.map(({ issuer }) => issuer),
    ),
  );
  for (const [name, role] of roles) {
    problems.push(...checkRole(`roles.${name}`, role));
    for (const one of role.export.deidentify ?? [])
      if (!policy.deidentification?.has(one))
        problems.push(`roles.${name}.export.deidentify: there is no deidentification "${one}"`);
    if (role.export.requireDeidentify && (role.export.deidentify ?? []).length === 0)
      problems.push(`roles.${name}.export.requireDeidentify: name a deidentification in deidentify`);
  }
  return problems;
}

function checkRole(place: string, { export: { levels, groups }, rules }: Role): string[] {
  const problems = repeated(
    `${place}.rules: rule`,
    rules.map(({ id }) => id),
  );
  if (levels.includes('group') && Array.isArray(groups) && groups.length === 0)
    problems.push(`${place}.export.groups: levels has group; name the Groups, or write "*"`);
  rules.forEach((rule, i) => {
    const at = `${place}.rules.${rule.id}`;
    if (rule.effect === 'deny' && rule.redact.length > 0)
      problems.push(`${at}.redact: a deny rule lets nothing through that could be redacted`);
    const types = rule.types === '*' ? RESOURCE_TYPES : rule.types;
    problems.push(...redactionProblems(rule.redact, types).map((problem) => `${at}.redact: ${problem}`));
    problems.push(...criteriaProblems(rule, types).map((problem) => `${at}.where.criteria: ${problem}`));
    const other = rules.find(
      (one) => one !== rule && one.effect === 'allow' && types.some((type) => isAbout(one, type)),
    );
    if (rule.criteria && rule.effect === 'allow' && other)
      problems.push(`${at}.where.criteria: ${other.id} is about the same type, which criteria do not permit`);
    if (rule.shared === 'exclude' && (rule.where.kind === 'everything' || rule.where.kind === 'any'))
      problems.push(`${at}.shared: exclude is for rules about some patients (patient, group)`);
    const cover = rule.effect === 'allow' && rules.slice(0, i).find((before) => covers(before, rule));
    if (cover)
      problems.push(`${at}: it never applies, because ${cover.id} before it lets everything through`);
  });
  if (!rules.some(({ effect }) => effect === 'allow'))
    problems.push(`${place}.rules: none of them allows anything`);
  return problems;
}

/** Whether a rule lets through every resource that a later rule is about. */
function covers(before: Rule, rule: Rule): boolean {
  if (before.effect !== 'allow' || before.criteria || before.where.kind !== 'everything') return false;
  const { types } = before;
  if (types === '*') return rule.types === '*' || !rule.types.includes('Binary');
  return rule.types !== '*' && rule.types.every((type) => types.includes(type));
}

function repeated(what: string, names: readonly string[]): string[] {
  const twice = names.filter((name, i) => names.indexOf(name) < i);
  return [...new Set(twice)].map((name) => `${what} "${name}" occurs twice`);
}
