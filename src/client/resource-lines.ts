import { HeadwaterError } from '../base/errors.ts';
import { parseInstant } from '../fhir/instant.ts';
import { isId } from '../fhir/reference.ts';
import { isResourceType } from '../fhir/resource-types.ts';

const NEWLINE = 10;
const RETURN = 13;

/** Yields the lines of a stream without their line ends. A line is copied only if it spans chunks. */
export async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<readonly Buffer[]> {
  let open: Buffer[] = [];
  for await (const chunk of chunks) {
    const lines: Buffer[] = [];
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      const end = chunk.subarray(from, at);
      lines.push(withoutReturn(open.length === 0 ? end : Buffer.concat([...open, end])));
      open = [];
      from = at + 1;
    }
    if (from < chunk.length) open.push(chunk.subarray(from));
    yield lines;
  }
  yield [withoutReturn(Buffer.concat(open))];
}

function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === RETURN ? line.subarray(0, -1) : line;
}

const VERSION = /^[1-9]\d{0,17}$/;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\r': '\\r' };

/**
 * One resource as a row of COPY's text format, its columns type, id, version, last_updated, body: in latin1, each
 * character one byte, so that the body keeps its bytes, whatever they are. Throws `bad-request`.
 * @param now for a resource without meta.lastUpdated, as PostgreSQL reads it
 */
export function copyRow(line: Buffer, now: string): string {
  const body = line.toString('latin1');
  const { type, id, version, lastUpdated } = headOf(body);
  const escaped = body.replaceAll(/[\\\t\r]/g, (character) => ESCAPES[character] ?? character);
  return `${type}\t${id}\t${version}\t${lastUpdated ?? now}\t${escaped}\n`;
}

interface Head {
  readonly type: string;
  readonly id: string;
  readonly version: string;
  readonly lastUpdated: string | undefined;
}

/** All of these are ASCII, so that it does not matter that the rest was read as latin1. */
function headOf(body: string): Head {
  const resource = parseObject(body);
  const { resourceType: type, id, meta } = resource;
  if (typeof type !== 'string' || !isResourceType(type)) throw bad('its resourceType is none of FHIR R4');
  if (typeof id !== 'string' || !isId(id)) throw bad('its id is not 1 to 64 letters, digits, - and .');
  const { versionId, lastUpdated } = (typeof meta === 'object' && meta !== null ? meta : {}) as Record<
    string,
    unknown
  >;
  return {
    type,
    id,
    version: typeof versionId === 'string' && VERSION.test(versionId) ? versionId : '1',
    lastUpdated:
      typeof lastUpdated === 'string' && parseInstant(lastUpdated) !== undefined ? lastUpdated : undefined,
  };
}

function parseObject(body: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw bad('it is not JSON');
  }
  if (typeof value !== 'object' || value === null) throw bad('it is not a JSON object');
  return value as Record<string, unknown>;
}

function bad(what: string): HeadwaterError {
  return new HeadwaterError('bad-request', what);
}
