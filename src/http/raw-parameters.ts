import { bad } from '../base/bad-request.ts';
import { isObject } from '../base/is-object.ts';
import type { RawParameter } from '../events/given-parameter.ts';

export function parametersOfQuery(search: string): RawParameter[] {
  return [...new URLSearchParams(search)].map(([name, value]) => ({ name, value }));
}

/** Reads a Parameters resource. A value that is not text becomes the text that a query would have. Throws `bad-request`. */
export function parametersOfBody(body: unknown): RawParameter[] {
  if (!isObject(body) || body['resourceType'] !== 'Parameters')
    throw bad('body', 'the body must be a Parameters resource');
  const list = body['parameter'] ?? [];
  if (!Array.isArray(list)) throw bad('parameter', 'Parameters.parameter must be a list');
  return list.map((parameter: unknown) => {
    if (!isObject(parameter) || typeof parameter['name'] !== 'string')
      throw bad('parameter', 'each parameter must have a name');
    const values = Object.keys(parameter).filter((key) => key.startsWith('value'));
    const value = values.length === 1 ? textOf(parameter[values[0] ?? '']) : undefined;
    return { name: parameter['name'], value };
  });
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean' || typeof value === 'number') return String(value);
  const reference = isObject(value) ? value['reference'] : undefined;
  return typeof reference === 'string' ? reference : undefined;
}
