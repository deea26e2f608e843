import { bad } from '../base/bad-request.ts';
import { HeadwaterError } from '../base/errors.ts';
import { identityOf } from '../deidentify/source.ts';
import type { GrantDeidentification } from '../events/grant.ts';
import type { ExportParameters } from '../events/request.ts';
import type { AccessPolicy } from './policy.ts';
import { forbidden } from './refusals.ts';
import type { NamedRole } from './role-rules.ts';

const PARAMETER = '_anonymizationConfig';

/**
 * Returns the configuration that de-identifies an export; undefined if none does.
 *
 * - A role that requires one applies it without being asked, if there is only one to choose.
 * - A search could look at an element that the configuration removes, so such a role permits no `_typeFilter`.
 * - Organized output names patients by the ids that the source gives them.
 *
 * @throws forbidden, bad-request, and precondition for another sha256 than the request expects
 */
export function deidentificationFor(
  policy: AccessPolicy,
  roles: readonly NamedRole[],
  asked: ExportParameters,
): GrantDeidentification | undefined {
  const permitted = [...new Set(roles.flatMap(({ role }) => role.export.deidentify ?? []))];
  const required = roles.some(({ role }) => role.export.requireDeidentify === true);
  const name = asked.deidentify ?? (required && permitted.length === 1 ? permitted[0] : undefined);
  if (name === undefined) {
    if (required)
      throw forbidden(PARAMETER, `${PARAMETER}: your role requires one of ${permitted.join(', ')}`);
    if (asked.deidentifyEtag !== undefined)
      throw bad(PARAMETER, `${PARAMETER}Etag: give ${PARAMETER} with it`);
    return undefined;
  }
  const source = permitted.includes(name) ? policy.deidentification?.get(name) : undefined;
  if (!source) throw forbidden(PARAMETER, `${PARAMETER}: your role does not permit this configuration`);
  const identity = identityOf(source);
  if (asked.deidentifyEtag !== undefined && asked.deidentifyEtag !== identity.hash)
    throw new HeadwaterError('precondition', `${PARAMETER}Etag: the configuration has another sha256`, {
      subject: `${PARAMETER}Etag`,
    });
  if (asked.organizeBy !== undefined)
    throw bad('organizeOutputBy', 'organizeOutputBy: a de-identified export cannot be organized');
  if (required && asked.typeFilters.length > 0)
    throw forbidden('_typeFilter', '_typeFilter: your role permits no search of what is de-identified');
  return identity;
}
