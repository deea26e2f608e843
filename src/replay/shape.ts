import { HeadwaterError } from '../base/errors.ts';
import { isObject } from '../base/is-object.ts';
import type { ChangePeek, ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { TaskFilter } from '../events/tasks.ts';
import { compileElements } from '../fhir/elements.ts';
import { parseMembers } from '../fhir/json-scan.ts';
import type { References } from '../fhir/reference.ts';
import { compileRedactions } from '../fhir/redact.ts';
import { ALL_RIGHTS } from '../cohort/rights.ts';
import type { Redactions, Rights } from '../cohort/rights.ts';
import { compileTypeFilters } from '../fhir/search/type-filter.ts';

/** The receiver of lines. */
export interface Lines {
  /** Adds data[start, end); the data may be reused after the next drain. */
  line(data: Buffer, start: number, end: number): void;
}

/**
 * Writes what a selected resource becomes: a line and true, or nothing and false when a filter leaves it out. Throws `corrupt` for what is
 * not JSON, which capture lets never pass.
 */
export type Shape = (lines: Lines, change: ChangePeek) => boolean;

type Codec = Pick<ResourceChangeCodec, 'decode'>;
type Filter = Pick<TaskFilter, 'typeFilters' | 'elements'>;

/** The shape of each type, compiled when it is first asked for and then kept. */
export function shapesOf(
  filter: Filter,
  codec: Codec,
  references?: References,
  rights: Rights = ALL_RIGHTS,
): (type: string) => Shape {
  const known = new Map<string, Shape>();
  return (type) => {
    let shape = known.get(type);
    if (!shape) {
      const redact = redactorOf(rights(type)?.redactions, type, codec);
      shape = shapeOf(filter, type, { codec, references, redact });
      known.set(type, shape);
    }
    return shape;
  };
}

/** Returns the bytes of the source, unless the request depends on the content of resources of this type. */
function shapeOf(
  { typeFilters, elements }: Filter,
  type: string,
  tools: {
    readonly codec: Codec;
    readonly references: References | undefined;
    readonly redact: Redactor | undefined;
  },
): Shape {
  const { codec, references, redact } = tools;
  const queries = typeFilters.filter((query) => query.startsWith(`${type}?`));
  const filter = queries.length > 0 ? compileTypeFilters(queries, references) : undefined;
  const own = elements.filter((element) => !element.includes('.') || element.startsWith(`${type}.`));
  const reduce = own.length > 0 ? compileElements(own, type) : undefined;
  if (!filter && !reduce && !redact) return asItIs;
  const searched = filter?.elementsOf(type) ?? new Set();
  const fits = ({ bytes, bodyStart, bodyEnd }: Body, change: ChangePeek): boolean => {
    const resource = parseMembers(bytes, { start: bodyStart, end: bodyEnd }, searched);
    // The time in the record stands in for one in meta.
    const lastUpdated = searched.has('meta') ? codec.decode(change.bytes).lastUpdated : undefined;
    return filter?.matches(type, resource, lastUpdated) ?? true;
  };
  return (lines, change) => {
    // Filters see the redacted resource, so they cannot tell more than the export.
    const body = redact ? redact(change) : change;
    if (filter && !fits(body, change)) return false;
    if (!reduce) return asItIs(lines, body);
    const line = reduce(body.bytes, body.bodyStart, body.bodyEnd);
    lines.line(line, 0, line.length);
    return true;
  };
}

type Body = Pick<ChangePeek, 'bytes' | 'bodyStart' | 'bodyEnd'>;
type Redactor = (change: ChangePeek) => Body;

/** Redacts a resource as the rule says that lets it through. */
function redactorOf(redactions: Redactions | undefined, type: string, codec: Codec): Redactor | undefined {
  if (!redactions) return undefined;
  const { byRule, ruleOf, of } = redactions;
  const marked = (of(type) ?? []).length > 0;
  const compiled = byRule.map((own) => compileRedactions(type, { own, of, marked }));
  // For a version that a client was given earlier, and that no rule lets through any more.
  const all = compileRedactions(type, { own: of(type) ?? [], of, marked });
  return ({ bytes, bodyStart, bodyEnd }) => {
    const rule = compiled.length === 1 ? 0 : ruleOf('', codec.decode(bytes).patients);
    const redact = compiled[rule] ?? all;
    const line = redact(bytes, bodyStart, bodyEnd);
    return { bytes: line, bodyStart: 0, bodyEnd: line.length };
  };
}

function asItIs(lines: Lines, { bytes, bodyStart, bodyEnd }: Body): boolean {
  lines.line(bytes, bodyStart, bodyEnd);
  return true;
}

/** Parses the resource. Throws `corrupt` if it is not an object. */
export function parse({ bytes, bodyStart, bodyEnd }: Body): Record<string, unknown> {
  let resource: unknown;
  try {
    resource = JSON.parse(bytes.toString('utf8', bodyStart, bodyEnd));
  } catch {
    throw new HeadwaterError('corrupt', 'it is not JSON'); // the error's message would quote it
  }
  if (!isObject(resource)) throw new HeadwaterError('corrupt', 'it is not a JSON object');
  return resource;
}
