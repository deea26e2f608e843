import { HeadwaterError, messageOf } from '../base/errors.ts';
import { textOf } from './number-text.ts';
import type { Primitive } from './number-text.ts';

/** Returns the general value for a value; undefined if no case holds. */
export type Generalize = (value: Primitive, type: string) => Primitive | undefined;

/** Elements that give a value its type in FHIRPath, by types. Other types need none. */
const TYPED: Readonly<Record<string, readonly [member: string, expression: string]>> = {
  date: ['birthDate', 'Patient.birthDate'],
  dateTime: ['deceasedDateTime', 'Patient.deceased'],
  instant: ['deceasedDateTime', 'Patient.deceased'],
};

/**
 * Compiles the cases of a rule: FHIRPath conditions and the FHIRPath of the new value, first match first.
 * Loads FHIRPath at its first use, since few configurations need it.
 * @throws bad-config for an expression that cannot be read
 */
export async function compileCases(cases: Readonly<Record<string, string>>): Promise<Generalize> {
  const { default: fhirpath } = await import('fhirpath');
  const { default: model } = await import('fhirpath/fhir-context/r4');
  const evaluate = (expression: string, value: Primitive, type: string): unknown => {
    const [member, base] = TYPED[type] ?? [];
    const plain = typeof value === 'object' ? Number(textOf(value)) : value;
    if (member === undefined) return fhirpath.evaluate({ value: plain }, `value.select(${expression})`);
    const resource = { resourceType: 'Patient', [member]: plain };
    return fhirpath.evaluate(resource, `${base}.select(${expression})`, {}, model);
  };
  const parsed = Object.entries(cases);
  for (const expression of parsed.flat()) {
    try {
      fhirpath.parse(expression);
    } catch (error) {
      const [line = ''] = messageOf(error).split('\n');
      throw new HeadwaterError('bad-config', `generalize: ${JSON.stringify(expression)}: ${line}`);
    }
  }
  return (value, type) => {
    for (const [condition, result] of parsed) {
      if (only(evaluate(condition, value, type)) !== true) continue;
      const general = only(evaluate(result, value, type));
      if (['string', 'number', 'boolean'].includes(typeof general)) return general as Primitive;
      throw new HeadwaterError('corrupt', 'a case of generalize gives no single value');
    }
    return undefined;
  };
}

function only(results: unknown): unknown {
  const [first, ...more] = results as unknown[];
  if (more.length > 0) return undefined;
  return typeof first === 'object' && first !== null ? (first as { toString(): string }).toString() : first;
}
