import type { ChangePeek } from '../events/resource-change-codec.ts';
import { parseInstant } from '../fhir/instant.ts';
import type { References } from '../fhir/reference.ts';
import { parse } from './shape.ts';

/** The parts of a Provenance that decide whether it comes along. */
export interface ReadProvenance {
  /** `Type/id` of its targets, without versions and repeats. */
  readonly targets: readonly string[];
  /** ms since 1970. If there is no readable time, the earliest time. */
  readonly recorded: number;
}

export function readProvenance(change: ChangePeek, references: References): ReadProvenance {
  const { target, recorded } = parse(change);
  const targets = (Array.isArray(target) ? target : []).flatMap((one: unknown) => {
    const referred = references.of(one);
    return referred ? [`${referred.type}/${referred.id}`] : [];
  });
  const time = typeof recorded === 'string' ? parseInstant(recorded) : undefined;
  return { targets: [...new Set(targets)], recorded: time ?? -Infinity };
}
