import { HeadwaterError } from '../../base/errors.ts';
import { isResourceType } from '../../fhir/resource-types.ts';

/** Returns whether resources of a type are followed. */
export type TypeChoice = (type: string) => boolean;

/** The types that settings pick. */
export interface PickedTypes {
  /** HEADWATER_SOURCE_TYPES: these only; empty for all. */
  readonly types: readonly string[];
  /** HEADWATER_SOURCE_EXCLUDE_TYPES: none of these. */
  readonly excludeTypes: readonly string[];
}

/** @throws `bad-config` for a name that is no resource type of R4 */
export function typeChoice({ types, excludeTypes }: PickedTypes): TypeChoice {
  check('HEADWATER_SOURCE_TYPES', types);
  check('HEADWATER_SOURCE_EXCLUDE_TYPES', excludeTypes);
  const [wanted, unwanted] = [new Set(types), new Set(excludeTypes)];
  return (type) => (wanted.size === 0 || wanted.has(type)) && !unwanted.has(type);
}

function check(setting: string, types: readonly string[]): void {
  const unknown = types.find((type) => !isResourceType(type));
  if (unknown !== undefined)
    throw new HeadwaterError('bad-config', `${setting}: ${unknown} is no resource type of FHIR R4`);
}
