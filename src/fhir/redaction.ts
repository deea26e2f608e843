import { rootElementOf } from './elements.ts';

/** One redaction of a rule. */
export interface Redaction {
  /**
   * A root element (`name`; `value` is every type of a choice), `extension(url)`: the extensions of the resource with that url, or
   * `**.Reference.display`: the text of every Reference, at any depth.
   */
  readonly path: string;
  /** `remove` leaves the element out; `year` keeps the year of a date. */
  readonly do: 'remove' | 'year';
}

const DISPLAYS = '**.Reference.display';
const EXTENSION = /^extension\((\S+)\)$/;
/** Elements that identify a resource, or that say what it means. */
const FIXED: ReadonlySet<string> = new Set(['id', 'resourceType', 'meta', 'contained']);
/** An instant has no form with the year alone. */
const INSTANTS: ReadonlySet<string> = new Set(
  (
    'Appointment.start Appointment.end AppointmentResponse.start AppointmentResponse.end AuditEvent.recorded Bundle.timestamp ' +
    'DiagnosticReport.issued DocumentReference.date Media.issued Observation.issued Provenance.recorded Slot.start Slot.end ' +
    'Subscription.end'
  ).split(' '),
);

export function isDisplays({ path }: Redaction): boolean {
  return path === DISPLAYS;
}

/** Returns the url of `extension(url)`; undefined for another path. */
export function extensionUrlOf({ path }: Redaction): string | undefined {
  return EXTENSION.exec(path)?.[1];
}

/** Returns one sentence for each redaction that would keep data it names, or would make a resource invalid. */
export function redactionProblems(redactions: readonly Redaction[], types: readonly string[]): string[] {
  return redactions.flatMap((redaction) => problemOf(redaction, types) ?? []);
}

function problemOf(redaction: Redaction, types: readonly string[]): string | undefined {
  const { path, do: how } = redaction;
  if (isDisplays(redaction) || extensionUrlOf(redaction) !== undefined)
    return how === 'remove' ? undefined : `${path} can be removed only`;
  if (FIXED.has(path)) return `${path} cannot be redacted`;
  if (!/^\w+(\[x\])?$/.test(path))
    return `${path}: only root elements, extension(url) and ${DISPLAYS} can be redacted`;
  const elements = types.flatMap((type) => {
    const element = rootElementOf(type, path);
    return element ? [{ type, ...element }] : [];
  });
  if (elements.length === 0) return `${path} is a root element of none of the rule's types`;
  if (how === 'year') {
    const instant = elements.find(({ type }) => INSTANTS.has(`${type}.${path}`));
    return instant && `${instant.type}.${path} is an instant: remove it, the year alone would be invalid`;
  }
  const mandatory = elements.find((element) => element.mandatory);
  return mandatory && `${mandatory.type}.${path} is mandatory, so it cannot be removed`;
}
