import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { parseYaml, readOr, wrong } from './yaml-file.ts';

const id = z.string().regex(/^[A-Za-z0-9\-.]{1,64}$/, 'it is not the id of a resource');

/** A client that the access file need not have, as an external issuer vouches for one. */
const identity = z.strictObject({
  roles: z.array(z.string()).min(1),
  patient: id.optional(),
  scopes: z.array(z.string()).default(['system/*.rs']),
  attributes: z.record(z.string(), z.array(z.string())).default({}),
});

const one = z
  .strictObject({
    name: z.string().min(1),
    /** A client of the access file. */
    as: z.string().optional(),
    identity: identity.optional(),
    level: z.enum(['system', 'patient', 'group']).default('patient'),
    group: id.optional(),
    /** A resource, or the name of a file with one. */
    resource: z.union([z.looseObject({ resourceType: z.string(), id }), z.string()]),
    /** The members of groups, ids of patients. */
    groups: z.record(id, z.array(id)).default({}),
    expect: z.enum(['exported', 'withheld', 'refused']),
    /** The rule that lets it through. */
    by: z.string().optional(),
    /** Texts that the exported line holds, and that it does not. */
    has: z.array(z.string()).default([]),
    lacks: z.array(z.string()).default([]),
    /** The exported resource. */
    equals: z.looseObject({ resourceType: z.string() }).optional(),
  })
  .refine(
    (value) => (value.as === undefined) !== (value.identity === undefined),
    'give one of as and identity',
  );

const casesSchema = z.strictObject({ cases: z.array(one).min(1) });

export type AccessCase = Omit<z.output<typeof one>, 'resource'> & {
  readonly resource: { readonly type: string; readonly id: string; readonly json: string };
};

/**
 * Reads a file of cases for `headwater access test`, and the resources that it names.
 * @throws bad-config with one line for each problem; the line names the place in the file
 */
export async function readAccessCases(path: string): Promise<AccessCase[]> {
  const { cases } = parseYaml((await readOr(path, 'the cases')).toString(), path, casesSchema);
  return Promise.all(
    cases.map(async ({ resource, ...others }, i) => ({
      ...others,
      resource: await resourceOf(resource, path, `cases.${String(i)}.resource`),
    })),
  );
}

async function resourceOf(
  given: string | { readonly resourceType: string; readonly id: string },
  path: string,
  place: string,
): Promise<AccessCase['resource']> {
  if (typeof given !== 'string')
    return { type: given.resourceType, id: given.id, json: JSON.stringify(given) };
  const json = (await readOr(resolve(dirname(path), given), place)).toString();
  try {
    const { resourceType: type, id: own } = z
      .looseObject({ resourceType: z.string(), id })
      .parse(JSON.parse(json));
    return { type, id: own, json: json.trim() };
  } catch {
    throw wrong(path, [`${place}: ${given} holds no resource with an id`]);
  }
}

/** Returns the JSON Schema (2020-12) of a file of cases, which docs/api publishes. */
export function accessCasesJsonSchema(): object {
  return z.toJSONSchema(casesSchema, { io: 'input', unrepresentable: 'any' });
}
