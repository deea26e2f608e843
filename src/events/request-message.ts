import { z } from 'zod';
import { HeadwaterError } from '../base/errors.ts';
import { isObject } from '../base/is-object.ts';
import type { RequestMessage } from './commands.ts';
import type { Grant } from './grant.ts';
import type { RequestSeal } from './request-seal.ts';

const instant = z.int().nonnegative();

const strings = z.array(z.string()).default([]);
const optional = z
  .string()
  .nullish()
  .transform((text) => text ?? undefined);

/** A grant is as the gateway made it, which the seal proves. The check here is for what every reader takes for granted. */
const grant = z.custom<Grant>(
  (value) => isObject(value) && Array.isArray(value['types']) && Array.isArray(value['rules']),
  'it is no grant',
);

const requested = z.object({
  kind: z.literal('ExportRequested'),
  jobId: z.string().min(1),
  clientId: z.string(),
  acceptedAt: instant,
  requestUrl: z.string(),
  parameters: z.object({
    level: z.enum(['system', 'patient', 'group']).default('system'),
    group: optional,
    patients: strings,
    types: strings,
    binary: z.boolean().default(true),
    since: optional,
    until: optional,
    outputFormat: z.enum(['ndjson', 'ndjson+gzip']),
    typeFilters: strings,
    elements: strings,
    provenance: z.enum(['in-scope', 'relevant', 'latest']).default('in-scope'),
    organizeBy: optional,
    partialManifests: z.boolean().default(false),
    separateStatus: z.boolean().default(false),
    container: optional,
    deidentify: optional,
    warnings: strings,
  }),
  grant: grant.nullish().transform((value) => value ?? undefined),
});

const cancelRequested = z.object({
  kind: z.literal('ExportCancelRequested'),
  jobId: z.string().min(1),
  cancelledAt: instant,
});

const message = z.discriminatedUnion('kind', [requested, cancelRequested]);

/** The times, which the database adds when it writes the message, and the seal itself. */
const UNSEALED: ReadonlySet<string> = new Set(['acceptedAt', 'cancelledAt', 'seal']);

/** Parses a request from the write-ahead log, to which every database user can write. Throws `forbidden` if its seal is wrong, or `corrupt`. */
export function parseRequestMessage(content: Buffer, seal: RequestSeal): RequestMessage {
  return requestMessageOf(parseJson(content), seal);
}

/** Checks the seal and the form of a request. Throws as `parseRequestMessage`. */
export function requestMessageOf(json: unknown, seal: RequestSeal): RequestMessage {
  if (!isObject(json)) throw new HeadwaterError('corrupt', 'it is not a JSON object');
  const sealed = Object.entries(json).filter(([name]) => !UNSEALED.has(name));
  if (!seal.fits(Object.fromEntries(sealed), json['seal']))
    throw new HeadwaterError('forbidden', 'its seal is wrong: no gateway of this installation made it');
  const parsed = message.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new HeadwaterError('corrupt', `wrong at ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
}

function parseJson(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString()) as unknown;
  } catch {
    return undefined;
  }
}
