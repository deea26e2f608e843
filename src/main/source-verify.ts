import { isDeepStrictEqual } from 'node:util';
import { HeadwaterError } from '../base/errors.ts';
import { copyRows } from '../capture/copy-rows.ts';
import { readRow } from '../capture/read-row.ts';
import type { Source } from '../capture/source.ts';
import { numbersAsText } from '../fhir/number-text.ts';

/** A server's API, and how much of it to compare. */
export interface ApiToCompare {
  /** Base URL without a slash at its end. */
  readonly base: string;
  readonly token: string | undefined;
  /** Resources of each type. */
  readonly sample: number;
}

export interface Difference {
  /** `Type/id`, or a type whose count differs. */
  readonly key: string;
  readonly difference: string;
}

export interface Verified {
  /** `api` is null where the API tells no count. */
  readonly types: readonly { readonly type: string; readonly source: number; readonly api: number | null }[];
  readonly compared: number;
  readonly differences: readonly Difference[];
}

interface Sample {
  readonly key: string;
  /** Null if it cannot be exported, for the reason of `problem`. */
  readonly body: Buffer | null;
  readonly problem: string | undefined;
}

interface OfType {
  count: number;
  readonly samples: Sample[];
}

const TIMEOUT_MS = 60_000;

/**
 * Compares the resources of a source, as Headwater would export them, with its API's answers: the number of each type, and by value, with the
 * digits of numbers, a sample of each. What changes meanwhile counts as a difference.
 */
export async function verify(
  { source, maxBytes }: { readonly source: Source; readonly maxBytes: number },
  api: ApiToCompare,
  signal: AbortSignal,
): Promise<Verified> {
  const sampled = await sampleOf(source, maxBytes, api.sample);
  const types: { type: string; source: number; api: number | null }[] = [];
  const differences: Difference[] = [];
  let compared = 0;
  for (const [type, { count, samples }] of [...sampled].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const told = await countBy(api, type, signal);
    types.push({ type, source: count, api: told });
    if (told !== null && told !== count)
      differences.push({ key: type, difference: `${count} in the database, ${told} by the API` });
    for (const { key, body, problem } of samples) {
      compared++;
      const difference = body
        ? await compare(api, key, body, signal)
        : `it cannot be exported: ${problem ?? ''}`;
      if (difference !== undefined) differences.push({ key, difference });
    }
  }
  return { types, compared, differences };
}

/** Reads every row once, and keeps an even sample of each type. */
async function sampleOf(source: Source, maxBytes: number, size: number): Promise<Map<string, OfType>> {
  const sampled = new Map<string, OfType>();
  const client = await source.readingSession();
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const catalog = await source.catalogOver(client);
    source.requireTables(catalog);
    for (const query of source.preset.loads(catalog.followed)) {
      for await (const rows of copyRows(client, { ...query, sql: query.sql(query.from) })) {
        for (const row of rows.filter(({ deleted }) => !deleted)) {
          const of = sampled.get(row.type) ?? { count: 0, samples: [] };
          sampled.set(row.type, of);
          const place = of.count < size ? of.count : Math.floor(Math.random() * (of.count + 1));
          of.count++;
          if (place >= size) continue;
          const { body, problem } = readRow(row, { maxBytes, rendering: source.preset.rendering });
          of.samples[place] = { key: `${row.type}/${row.id}`, body: body && Buffer.from(body), problem };
        }
      }
    }
  } finally {
    await client.end();
  }
  return sampled;
}

async function countBy(api: ApiToCompare, type: string, signal: AbortSignal): Promise<number | null> {
  const { status, text } = await ask(api, `${type}?_summary=count`, signal);
  if (status !== 200) return null;
  const { total } = JSON.parse(text) as { total?: number };
  return total ?? null;
}

async function compare(
  api: ApiToCompare,
  key: string,
  body: Buffer,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { status, text } = await ask(api, key, signal);
  if (status === 404 || status === 410) return `the API answers ${status}`;
  if (status !== 200) throw new HeadwaterError('unavailable', `${api.base}/${key} answers ${status}`);
  return differenceOf(numbersAsText(body.toString('utf8')), numbersAsText(text), '');
}

async function ask(
  { base, token }: ApiToCompare,
  path: string,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly text: string }> {
  try {
    const answer = await fetch(`${base}/${path}`, {
      headers: {
        accept: 'application/fhir+json',
        'cache-control': 'no-cache',
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    return { status: answer.status, text: await answer.text() };
  } catch (cause) {
    throw new HeadwaterError('unavailable', `${base} does not answer; check --fhir`, { cause });
  }
}

/** Returns the first place where two values differ, without the values: they are patients' data. */
function differenceOf(exported: unknown, answered: unknown, path: string): string | undefined {
  if (isDeepStrictEqual(exported, answered)) return undefined;
  const at = path === '' ? 'the resource' : path;
  if (Array.isArray(exported) && Array.isArray(answered)) {
    if (exported.length !== answered.length)
      return `${at} has ${exported.length} items in the export and ${answered.length} by the API`;
    return firstOf(exported.keys(), (i) => differenceOf(exported[i], answered[i], `${path}[${i}]`));
  }
  if (isRecord(exported) && isRecord(answered)) {
    const names = new Set([...Object.keys(exported), ...Object.keys(answered)]);
    return firstOf(names, (name) => {
      const inner = path === '' ? name : `${path}.${name}`;
      if (!(name in answered)) return `${inner} is in the export only`;
      if (!(name in exported)) return `${inner} is given by the API only`;
      return differenceOf(exported[name], answered[name], inner);
    });
  }
  return `${at} differs`;
}

function firstOf<T>(items: Iterable<T>, find: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
