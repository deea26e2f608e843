import { HeadwaterError } from '../base/errors.ts';
import { isObject } from '../base/is-object.ts';

/** A parameter as it came, from the query or from a Parameters resource. */
export interface RawParameter {
  readonly name: string;
  /** undefined when it is none that a query could have. */
  readonly value: string | undefined;
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

/** For messages: what clients send may be long, and hold what no text holds. */
export function quoted(text: string): string {
  return JSON.stringify(shortened(text, 100));
}

export function shortened(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

export function bad(subject: string, message: string): HeadwaterError {
  return new HeadwaterError('bad-request', message, { subject });
}
