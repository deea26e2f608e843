import { HeadwaterError } from '../base/errors.ts';
import { isObject } from '../base/is-object.ts';
import type { ChangePeek, ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { TaskFilter } from '../events/tasks.ts';
import { compileElements } from '../fhir/elements.ts';
import type { References } from '../fhir/reference.ts';
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
export function shapesOf(filter: Filter, codec: Codec, references?: References): (type: string) => Shape {
  const known = new Map<string, Shape>();
  return (type) => {
    const shape = known.get(type) ?? shapeOf(filter, type, { codec, references });
    known.set(type, shape);
    return shape;
  };
}

/** Returns the bytes of the source, unless the request depends on the content of resources of this type. */
function shapeOf(
  { typeFilters, elements }: Filter,
  type: string,
  { codec, references }: { readonly codec: Codec; readonly references: References | undefined },
): Shape {
  const queries = typeFilters.filter((query) => query.startsWith(`${type}?`));
  const filter = queries.length > 0 ? compileTypeFilters(queries, references) : undefined;
  const own = elements.filter((element) => !element.includes('.') || element.startsWith(`${type}.`));
  const reduce = own.length > 0 ? compileElements(own, type) : undefined;
  if (!filter && !reduce) return asItIs;
  return (lines, change) => {
    if (filter && !filter.matches(type, parse(change), codec.decode(change.bytes).lastUpdated)) return false;
    if (!reduce) return asItIs(lines, change);
    const line = reduce(change.bytes, change.bodyStart, change.bodyEnd);
    lines.line(line, 0, line.length);
    return true;
  };
}

function asItIs(lines: Lines, { bytes, bodyStart, bodyEnd }: ChangePeek): boolean {
  lines.line(bytes, bodyStart, bodyEnd);
  return true;
}

/** Parses the resource. Throws `corrupt` if it is not an object. */
export function parse({ bytes, bodyStart, bodyEnd }: ChangePeek): Record<string, unknown> {
  let resource: unknown;
  try {
    resource = JSON.parse(bytes.toString('utf8', bodyStart, bodyEnd));
  } catch {
    throw new HeadwaterError('corrupt', 'it is not JSON'); // the error's message would quote it
  }
  if (!isObject(resource)) throw new HeadwaterError('corrupt', 'it is not a JSON object');
  return resource;
}
