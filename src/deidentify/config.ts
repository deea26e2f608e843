import { createHash } from 'node:crypto';
import { z } from 'zod';
import { HeadwaterError } from '../base/errors.ts';

const METHODS = [
  'keep',
  'redact',
  'dateShift',
  'cryptoHash',
  'encrypt',
  'substitute',
  'perturb',
  'generalize',
] as const;
export type Method = (typeof METHODS)[number];

/** Microsoft's own sample writes `dateshift`. */
const method = z
  .string()
  .transform((text) => METHODS.find((one) => one.toLowerCase() === text.toLowerCase()) ?? text)
  .pipe(z.enum(METHODS));
const path = z.string().min(1);

const rule = z
  .strictObject({
    path,
    method,
    replaceWith: z.union([z.string(), z.record(z.string(), z.unknown())]).optional(),
    span: z.number().min(0).optional(),
    rangeType: z
      .string()
      .toLowerCase()
      .pipe(z.enum(['fixed', 'proportional']))
      .default('fixed'),
    roundTo: z.int().min(0).max(28).optional(),
    cases: z.record(z.string(), z.string()).optional(),
    otherValues: z
      .string()
      .toLowerCase()
      .pipe(z.enum(['redact', 'keep']))
      .default('redact'),
  })
  .refine(
    (one) => one.method !== 'substitute' || one.replaceWith !== undefined,
    'substitute needs replaceWith',
  )
  .refine((one) => one.method !== 'perturb' || one.span !== undefined, 'perturb needs span')
  .refine((one) => one.method !== 'generalize' || one.cases !== undefined, 'generalize needs cases');

const errors = z.enum(['raise', 'skip']).optional();
const key = z.string().default('');
/** `file` has no meaning here: the number of files depends on the plan. */
const scope = z
  .string()
  .toLowerCase()
  .pipe(z.enum(['resource', 'folder', 'patient']))
  .default('resource');

const schema = z.strictObject({
  fhirVersion: z.enum(['R4', '']).nullish(),
  processingErrors: errors,
  processingError: errors,
  fhirPathRules: z.array(rule).min(1),
  parameters: z
    .strictObject({
      dateShiftKey: key,
      dateShiftScope: scope,
      dateShiftFixedOffsetInDays: z.int().min(-36_500).max(36_500).optional(),
      cryptoHashKey: key,
      encryptKey: key,
      enablePartialAgesForRedact: z.boolean().default(false),
      enablePartialDatesForRedact: z.boolean().default(false),
      enablePartialZipCodesForRedact: z.boolean().default(false),
      restrictedZipCodeTabulationAreas: z.array(z.string().min(1)).default([]),
    })
    .prefault({}),
});

export type Rule = z.output<typeof rule>;
export type Parameters = z.output<typeof schema>['parameters'];
export type DateShiftScope = Parameters['dateShiftScope'];

/** A configuration of Microsoft's FHIR Tools for Anonymization, read and checked. */
export interface Config {
  /** sha256 of the file, lower hex. */
  readonly hash: string;
  /** Whether a resource that cannot be de-identified fails the export, or becomes an empty one. */
  readonly onError: 'raise' | 'skip';
  readonly rules: readonly Rule[];
  readonly parameters: Parameters;
}

/**
 * Reads a configuration file for R4.
 * Source: Microsoft, FHIR data anonymization, "Configuration file format".
 * @param place names the file in errors
 * @throws bad-config with one line for each problem
 */
export function parseConfig(bytes: Uint8Array, place: string): Config {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw new HeadwaterError('bad-config', `${place}: it is not JSON`);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const lines = parsed.error.issues.map(
      (issue) => `${place}: ${issue.path.join('.') || 'the file'}: ${issue.message}`,
    );
    throw new HeadwaterError('bad-config', lines.join('\n'));
  }
  const { fhirPathRules, parameters, processingErrors, processingError } = parsed.data;
  return {
    hash: createHash('sha256').update(bytes).digest('hex'),
    onError: processingErrors ?? processingError ?? 'raise',
    rules: fhirPathRules,
    parameters,
  };
}
