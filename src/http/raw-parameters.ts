import { HeadwaterError } from '../base/errors.ts';

/** A parameter as it came, from the query or from a Parameters resource. */
export interface RawParameter {
  readonly name: string;
  readonly value: string;
}

export function parametersOfQuery(search: string): RawParameter[] {
  return [...new URLSearchParams(search)].map(([name, value]) => ({ name, value }));
}

/** Of a Parameters resource. A value that is not text becomes the text a query would have. Throws `bad-request`. */
export function parametersOfBody(body: unknown): RawParameter[] {
  if (!isObject(body) || body['resourceType'] !== 'Parameters')
    throw bad('body', 'the body must be a Parameters resource');
  const list = body['parameter'] ?? [];
  if (!Array.isArray(list)) throw bad('parameter', 'Parameters.parameter must be a list');
  return list.map((parameter: unknown) => {
    if (!isObject(parameter) || typeof parameter['name'] !== 'string')
      throw bad('parameter', 'each parameter must have a name');
    const { name } = parameter;
    const values = Object.keys(parameter).filter((key) => key.startsWith('value'));
    const value = values.length === 1 ? textOf(parameter[values[0] ?? '']) : undefined;
    if (value === undefined)
      throw bad(name, `parameter ${quoted(name)} must have one value: a string, a boolean or a reference`);
    return { name, value };
  });
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean' || typeof value === 'number') return String(value);
  const reference = isObject(value) ? value['reference'] : undefined;
  return typeof reference === 'string' ? reference : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}

export function bad(subject: string, message: string): HeadwaterError {
  return new HeadwaterError('bad-request', message, { subject });
}
