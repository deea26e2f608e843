import { copyObject } from './copy-parts.ts';
import { displaysIn } from './displays.ts';
import type { Reduce } from './elements.ts';
import { isStringAt, membersOf, textOf } from './json-scan.ts';
import type { Member } from './json-scan.ts';
import { MetaLabel } from './meta-label.ts';
import { keptMembers } from './redact-members.ts';
import type { Source } from './redact-members.ts';
import { planOf } from './redaction-plan.ts';
import type { Plan } from './redaction-plan.ts';
import type { Redaction } from './redaction.ts';
import { Splice } from './splice.ts';

const REDACTED = new MetaLabel('security', 'REDACTED');

/**
 * Compiles a function that redacts resources of a type. It copies all other bytes from the source. It redacts a contained resource by the
 * redactions of that resource's own type.
 * @param options.own the redactions of the rule that lets the resource through
 * @param options.of returns all redactions of a type, for contained resources; if it returns undefined, they are left out
 * @param options.marked whether resources of the type are labelled REDACTED. All of them are: a label on some would show which ones have the element
 */
export function compileRedactions(
  type: string,
  options: {
    readonly own: readonly Redaction[];
    readonly of: (type: string) => readonly Redaction[] | undefined;
    readonly marked: boolean;
  },
): Reduce {
  const plan = planOf(options.own, type);
  const plans = new Map<string, Plan | undefined>();
  const planFor = (contained: string): Plan | undefined => {
    if (!plans.has(contained)) {
      const redactions = options.of(contained);
      plans.set(contained, redactions && planOf(redactions, contained));
    }
    return plans.get(contained);
  };
  return (bytes, start, end) => {
    const splice = new Splice(bytes);
    const root = membersOf(bytes, { start, end });
    const source: Source = {
      bytes,
      splice,
      planFor,
      place: placeOf(type, bytes, root),
      invented: { count: 0 },
    };
    const kept = keptMembers(source, root, plan, 0);
    // The label copies meta as it is in the source, so where displays go from meta it needs a pass of its own.
    const labelLater =
      options.marked &&
      plan.displays &&
      kept.some(({ member: { name, value } }) => name === 'meta' && displaysIn(bytes, value).length > 0);
    if (options.marked && !labelLater) REDACTED.copyResource(splice, bytes, kept);
    else copyObject(splice, kept);
    const redacted = splice.toBuffer();
    return labelLater ? labelled(redacted) : redacted;
  };
}

function placeOf(type: string, bytes: Buffer, root: readonly Member[]): string {
  const id = root.findLast(({ name }) => name === 'id');
  return `${type}/${id && isStringAt(bytes, id.value) ? textOf(bytes, id.value) : ''}`;
}

function labelled(resource: Buffer): Buffer {
  const splice = new Splice(resource);
  const members = membersOf(resource, { start: 0, end: resource.length });
  const kept = members.map((member) => ({ member, write: undefined }));
  REDACTED.copyResource(splice, resource, kept);
  return splice.toBuffer();
}
