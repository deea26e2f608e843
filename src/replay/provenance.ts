import type { ChangePeek } from '../events/resource-change-codec.ts';
import { parseInstant } from '../fhir/instant.ts';

/** What of a Provenance decides whether it comes along. */
export interface ReadProvenance {
  /** `Type/id` of what it is about, without versions and repeats. */
  readonly targets: readonly string[];
  /** ms since 1970; of none that can be read, the beginning of time. */
  readonly recorded: number;
}

const TARGET = /^([A-Z][A-Za-z]+\/[A-Za-z0-9\-.]{1,64})(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/;

export function readProvenance({ bytes, bodyStart, bodyEnd }: ChangePeek): ReadProvenance {
  const body = JSON.parse(bytes.toString('utf8', bodyStart, bodyEnd)) as Record<string, unknown>;
  const { target, recorded } = body;
  const targets = (Array.isArray(target) ? target : []).flatMap((one: unknown) => {
    const reference =
      typeof one === 'object' && one !== null && 'reference' in one ? one.reference : undefined;
    const match = typeof reference === 'string' ? TARGET.exec(reference) : null;
    return match?.[1] === undefined ? [] : [match[1]];
  });
  const time = typeof recorded === 'string' ? parseInstant(recorded) : undefined;
  return { targets: [...new Set(targets)], recorded: time ?? -Infinity };
}
