import { createReadStream } from 'node:fs';
import { mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { createGunzip } from 'node:zlib';

/** Providers that patients share. They are written once, and all copies refer to them. */
const SHARED: ReadonlySet<string> = new Set(['Organization', 'Location', 'Practitioner', 'PractitionerRole']);
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const OWN_ID = /^\{"resourceType":"\w+","id":"([^"]+)/gm;
const IS_UUID = new RegExp(`^${UUID.source}$`);
const PATIENT = /"Patient\/([^"]+)"/;
const NEWLINE = 10;

export interface Scaled {
  readonly patients: number;
  readonly resources: number;
  readonly bytes: number;
}

/** A type's resources, decompressed; some megabytes, as a population of ten patients is all there is of it in memory. */
interface Population {
  readonly type: string;
  readonly data: Buffer;
  readonly lines: number;
}

/**
 * Copies a small population until there are `patients` (rounded up to whole copies), each copy under ids of its own with its
 * references following. Copy 0 is the input, ordered by patients; deterministic. The copies of one type follow each other whole,
 * so that alike resources lie further apart than any batch of the log is long, and do not compress better than real ones.
 * @returns what was written, as `<target>/<Type>.ndjson`
 */
export async function scalePopulation(options: {
  readonly source: string;
  readonly target: string;
  readonly patients: number;
  readonly signal: AbortSignal;
}): Promise<Scaled> {
  const { source, target, signal } = options;
  const files = (await readdir(source)).filter((name) => name.endsWith('.ndjson.gz')).sort();
  const populations = await Promise.all(files.map((name) => readPopulation(join(source, name))));
  const perCopy = populations.find(({ type }) => type === 'Patient')?.lines ?? 0;
  if (perCopy === 0) throw new Error(`${source} holds no patients`);
  const copies = Math.ceil(options.patients / perCopy);
  const shared = new Set(
    populations.filter(({ type }) => SHARED.has(type)).flatMap(({ data }) => idsOf(data)),
  );
  await mkdir(target, { recursive: true });
  let resources = 0;
  let bytes = 0;
  for (const { type, data, lines } of populations) {
    const repeats = SHARED.has(type) ? 1 : copies;
    const file = await open(join(target, `${type}.ndjson`), 'w');
    try {
      for (const copy of copiesOf(data, repeats, shared)) {
        signal.throwIfAborted();
        await file.writeFile(copy);
        bytes += copy.length;
      }
    } finally {
      await file.close();
    }
    resources += lines * repeats;
  }
  return { patients: perCopy * copies, resources, bytes };
}

/**
 * Every copy in turn, each valid until the next is asked for. Nothing is parsed as JSON: nearly every id is a UUID, so a
 * copy is the same bytes with the first 8 hex digits of each UUID (but the shared ones) XORed with a number of its own.
 * Ids that are no UUIDs get the number of their copy; nothing refers to those.
 */
export function* copiesOf(data: Buffer, copies: number, shared: ReadonlySet<string>): Generator<Buffer> {
  yield data;
  const text = data.toString('latin1'); // one character a byte, so that places agree
  const places = [...text.matchAll(UUID)].filter(([id]) => !shared.has(id)).map(({ index }) => index);
  const heads = places.map((at) => Number.parseInt(text.slice(at, at + 8), 16));
  const named = idsOf(data).some((id) => !IS_UUID.test(id));
  const copy = Buffer.from(data);
  for (let k = 1; k < copies; k++) {
    const mark = Math.imul(k, 0x9e3779b9); // odd factor: another 32-bit number for every k
    for (const [i, at] of places.entries()) {
      copy.write((((heads[i] ?? 0) ^ mark) >>> 0).toString(16).padStart(8, '0'), at, 'latin1');
    }
    yield named ? rename(copy, k) : copy;
  }
}

/** The resources of each patient one after the other, as in a server that was loaded patient by patient. */
export function patientByPatient(data: Buffer): Buffer {
  const lines = data.toString('latin1').match(/[^\n]*\n/g) ?? [];
  const byPatient = Map.groupBy(lines, (line) => PATIENT.exec(line)?.[1]);
  return Buffer.from([...byPatient.values()].flat().join(''), 'latin1');
}

function rename(copy: Buffer, k: number): Buffer {
  const renamed = copy
    .toString('latin1')
    .replace(OWN_ID, (start, id: string) => (IS_UUID.test(id) ? start : `${start}-${k}`));
  return Buffer.from(renamed, 'latin1');
}

function idsOf(data: Buffer): string[] {
  return [...data.toString('latin1').matchAll(OWN_ID)].map(([, id = '']) => id);
}

async function readPopulation(path: string): Promise<Population> {
  const data = await buffer(createReadStream(path).pipe(createGunzip()));
  let lines = 0;
  for (let at = data.indexOf(NEWLINE); at >= 0; at = data.indexOf(NEWLINE, at + 1)) lines++;
  if (data.at(-1) !== NEWLINE) throw new Error(`${path}: the last line does not end`);
  return { type: /([^/\\]+)\.ndjson\.gz$/.exec(path)?.[1] ?? '', data: patientByPatient(data), lines };
}
