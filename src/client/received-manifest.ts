import { z } from 'zod';
import { HeadwaterError } from '../base/errors.ts';

const file = z.looseObject({
  type: z.string().optional(),
  url: z.url(),
  count: z.int().optional(),
  extension: z.looseObject({ bytes: z.int().optional(), sha256: z.string().optional() }).optional(),
});

const manifest = z.looseObject({
  transactionTime: z.string(),
  request: z.string().optional(),
  requiresAccessToken: z.boolean(),
  output: z.array(file),
  deleted: z.array(file).default([]),
  error: z.array(file).default([]),
});

/** A manifest of any bulk data server. The manifests of Headwater have all optional parts. */
export type ReceivedManifest = z.infer<typeof manifest>;
export type ReceivedFile = z.infer<typeof file>;

/** Throws `corrupt` that names the first field wrong. */
export function parseManifest(body: unknown): ReceivedManifest {
  const parsed = manifest.safeParse(body);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new HeadwaterError(
    'corrupt',
    `the manifest is wrong at ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
  );
}
