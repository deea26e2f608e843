import type { ChangePeek, ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { TaskFilter } from '../events/tasks.ts';
import { compileElements } from '../fhir/elements.ts';
import { compileTypeFilters } from '../fhir/search/type-filter.ts';

/** Where lines go. */
export interface Lines {
  /** Adds data[start, end); the data may be reused after the next drain. */
  line(data: Buffer, start: number, end: number): void;
}

/** Writes what a selected resource becomes: a line, or nothing. */
export type Shape = (lines: Lines, change: ChangePeek) => void;

/** The source's own bytes, unless the request needs the inside of the resource. Compiled once a task and type. */
export function shapeOf(
  { typeFilters, elements }: Pick<TaskFilter, 'typeFilters' | 'elements'>,
  type: string,
  codec: Pick<ResourceChangeCodec, 'decode'>,
): Shape {
  const filter = typeFilters.some((query) => query.startsWith(`${type}?`))
    ? compileTypeFilters(typeFilters)
    : undefined;
  const reduce = elements.length > 0 ? compileElements(elements) : undefined;
  if (!filter && !reduce) return asItIs;
  return (lines, change) => {
    const resource = parse(change);
    if (filter && !filter.matches(type, resource, codec.decode(change.bytes).lastUpdated)) return;
    const reduced = reduce ? reduce(type, resource) : resource;
    if (reduced === resource) {
      asItIs(lines, change);
      return;
    }
    const line = Buffer.from(JSON.stringify(reduced));
    lines.line(line, 0, line.length);
  };
}

function asItIs(lines: Lines, { bytes, bodyStart, bodyEnd }: ChangePeek): void {
  lines.line(bytes, bodyStart, bodyEnd);
}

/** Capture has let nothing but JSON objects pass. */
function parse({ bytes, bodyStart, bodyEnd }: ChangePeek): Record<string, unknown> {
  return JSON.parse(bytes.toString('utf8', bodyStart, bodyEnd)) as Record<string, unknown>;
}
