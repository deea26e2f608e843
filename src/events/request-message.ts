import { z } from 'zod';
import { HeadwaterError } from '../base/errors.ts';
import type { RequestMessage } from './commands.ts';

const instant = z.int().nonnegative();

const strings = z.array(z.string()).default([]);
const optional = z
  .string()
  .nullish()
  .transform((text) => text ?? undefined);

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
    warnings: strings,
  }),
});

const cancelRequested = z.object({
  kind: z.literal('ExportCancelRequested'),
  jobId: z.string().min(1),
  cancelledAt: instant,
});

const message = z.discriminatedUnion('kind', [requested, cancelRequested]);

/** Parses a request from the write-ahead log, to which every database user can write. Throws `corrupt`. */
export function parseRequestMessage(content: Buffer): RequestMessage {
  const parsed = message.safeParse(parseJson(content));
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
