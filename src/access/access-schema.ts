import { z } from 'zod';
import { isId } from '../fhir/reference.ts';
import { isResourceType } from '../fhir/resource-types.ts';

/** Names of clients, roles and rules go into logs, events and headers. */
const name = z.string().regex(/^[\w.:@-]{1,100}$/, 'use letters, digits and _ . : @ -, at most 100');
const groupId = z.string().refine(isId, 'it is not the id of a Group');
const type = z
  .string()
  .refine(isResourceType, { error: ({ input }) => `FHIR R4 has no resource type "${String(input)}"` });
const types = z.union([z.literal('*'), z.array(type).min(1)]);
const claim = z.strictObject({ claim: name });
const url = z.url({ protocol: /^https?$/ });

const redaction = z
  .strictObject({
    path: z.union([z.string(), z.array(z.string()).min(1)]),
    do: z.enum(['remove', 'mask', 'year', 'hash', 'random']).default('remove'),
    keep: z.array(z.string()).min(1).optional(),
    key: name.optional(),
  })
  .transform(({ path, ...rest }) => [path].flat().map((one) => ({ path: one, ...rest })));

const criteria = z
  .array(z.string().regex(/^(\*|[A-Z]\w*)\?\S+$/, 'write Type?parameter=value or *?parameter=value'))
  .min(1);

const where = z.union([
  z.literal('everything'),
  z.strictObject({ criteria }),
  z.strictObject({ patient: z.literal('self'), criteria: criteria.optional() }),
  z.strictObject({ compartment: z.literal('any'), criteria: criteria.optional() }),
  z.strictObject({ group: z.union([z.array(groupId).min(1), claim]), criteria: criteria.optional() }),
]);

const rule = z.strictObject({
  id: name,
  effect: z.enum(['allow', 'deny']).default('allow'),
  types,
  where,
  shared: z.enum(['any', 'exclude']).default('any'),
  redact: z
    .array(redaction)
    .default([])
    .transform((lists) => lists.flat()),
});

const role = z.strictObject({
  export: z.strictObject({
    levels: z.array(z.enum(['system', 'patient', 'group'])).min(1),
    groups: z.union([z.literal('*'), z.array(groupId), claim]).default([]),
    maxUnfinished: z.int().min(1).optional(),
    perDay: z.int().min(1).optional(),
    retentionHours: z.number().positive().max(720).optional(),
    withheld: z.enum(['told', 'silent']).default('told'),
    deidentify: z.array(name).default([]),
    requireDeidentify: z.boolean().default(false),
  }),
  rules: z.array(rule).min(1),
});

const attributes = z.record(name, z.array(z.string())).default({});

const client = z.strictObject({
  jwksUrl: url.optional(),
  jwksFile: z.string().optional(),
  jwks: z.looseObject({ keys: z.array(z.looseObject({})) }).optional(),
  scopes: z.array(z.string()).min(1),
  roles: z.array(name).min(1),
  attributes,
  disabled: z.boolean().default(false),
});

const hosts = z.array(z.string()).default([]);

const embedded = z.strictObject({
  expiresIn: z.int().min(30).max(300).default(300),
  algorithms: z
    .array(z.enum(['RS384', 'ES384']))
    .min(1)
    .default(['RS384', 'ES384']),
  tolerance: z.int().min(0).max(120).default(60),
  allowedJwksHosts: hosts,
});

const external = z.strictObject({
  name,
  issuer: url,
  validate: z.union([
    z.literal('jwt'),
    z.strictObject({
      introspection: z.strictObject({
        clientId: z.string().min(1),
        clientSecretFile: z.string().min(1),
        cacheSeconds: z.int().min(0).max(30).default(30),
      }),
    }),
  ]),
  algorithms: z
    .array(z.enum(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']))
    .default(['RS256', 'ES256']),
  audience: z.string().min(1),
  claims: z
    .strictObject({
      client: z.string().default('client_id'),
      roles: z.string().default('roles'),
      scope: z.string().default('scope'),
      patient: z.string().default('patient'),
      attributes: z.record(name, z.string()).default({}),
    })
    .prefault({}),
  roles: z.record(z.string(), name),
  allowedJwksHosts: hosts,
});

const fileName = z.string().min(1);

const deidentification = z.strictObject({
  config: fileName,
  keys: z
    .strictObject({
      cryptoHash: fileName.optional(),
      dateShift: fileName.optional(),
      encrypt: fileName.optional(),
    })
    .default({}),
  dateShiftScope: z.enum(['resource', 'folder', 'patient']).optional(),
});

/** The schema of the access file as an operator writes it. */
export const fileSchema = z.strictObject({
  version: z.literal(1),
  issuers: z
    .strictObject({ embedded: embedded.optional(), external: z.array(external).default([]) })
    .prefault({}),
  clients: z.record(name, client).default({}),
  roles: z.record(name, role),
  deidentification: z.record(name, deidentification).default({}),
});

/** Returns the JSON Schema (2020-12) of the access file, which docs/api publishes. */
export function accessFileJsonSchema(): object {
  return z.toJSONSchema(fileSchema, { io: 'input', unrepresentable: 'any' });
}

export type AccessFile = z.output<typeof fileSchema>;
export type FileClient = z.output<typeof client>;
export type FileIssuer = z.output<typeof external>;
export type FileRule = z.output<typeof rule>;
