import { createCipheriv, createHmac } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { Parameters, Rule } from './config.ts';
import { MAX_AGE, shiftDate, yearOf } from './dates.ts';
import { noiseKeyOf } from './keys.ts';
import type { Keys } from './keys.ts';
import { numberOf, textOf } from './number-text.ts';
import type { Primitive } from './number-text.ts';
import { withOtherId } from './reference-id.ts';
import type { Node } from './tree.ts';

/** The effect of a method on a value, which the labels of the resource report. */
export type Operation =
  'redact' | 'abstract' | 'cryptoHash' | 'encrypt' | 'perturb' | 'substitute' | 'generalize';

/** The outcome for one value; without a value the element goes. `undefined` leaves the value alone. */
export type Change = { readonly value?: Primitive | undefined; readonly operation: Operation } | undefined;

/** The facts about one resource that its values depend on. */
export interface Scene {
  /** Time at which ages are counted, in ms since 1970. */
  readonly at: number;
  /** Days by which dates move. */
  readonly days: number;
  /** `Type/id` of the resource as the source has it. */
  readonly resource: string;
}

const DATES = /^(date|dateTime|instant)$/;
const INTEGERS = /^(integer|positiveInt|unsignedInt)$/;

/** Redacts a value. Dates, ages and postal codes may keep a part (Microsoft, "Parameters"). */
export function redact(
  { name, parent, type }: Node,
  value: Primitive,
  parameters: Parameters,
  at: number,
): Change {
  const text = textOf(value);
  if (DATES.test(type) && parameters.enablePartialDatesForRedact)
    return { value: yearOf(text, at), operation: 'redact' };
  if (
    type === 'decimal' &&
    name === 'value' &&
    parent?.type === 'Age' &&
    parameters.enablePartialAgesForRedact
  )
    return { value: Number(text) <= MAX_AGE ? value : undefined, operation: 'redact' };
  if (name === 'postalCode' && parent?.type === 'Address' && parameters.enablePartialZipCodesForRedact)
    return { value: partOfZip(text, parameters.restrictedZipCodeTabulationAreas), operation: 'abstract' };
  return { operation: 'redact' };
}

function partOfZip(text: string, restricted: readonly string[]): string {
  const kept = restricted.some((area) => text.startsWith(area)) ? 0 : 3;
  return text.slice(0, kept) + text.slice(kept).replaceAll(/\d/g, '0');
}

/** Moves a date, or redacts it if it cannot be moved. Other values stay. */
export function dateShift(node: Node, value: Primitive, parameters: Parameters, { at, days }: Scene): Change {
  if (!DATES.test(node.type)) return undefined;
  const shifted = shiftDate(textOf(value), days, at);
  if (shifted !== undefined) return { value: shifted, operation: 'perturb' };
  return redact(node, value, parameters, at);
}

/** HMAC-SHA256 as lower hex. Of a reference only the id changes, so that it still leads to the resource with the hashed id. */
export function cryptoHash({ name, parent }: Node, value: Primitive, key: KeyObject): Change {
  const hash = (text: string): string => createHmac('sha256', key).update(text).digest('hex');
  const isReference = name === 'reference' && parent?.type === 'Reference';
  const text = textOf(value);
  return { value: isReference ? withOtherId(text, hash) : hash(text), operation: 'cryptoHash' };
}

/**
 * AES-CBC, as base64 of the initialization vector and the encrypted text. The vector is an HMAC of the place and the value, so
 * that every export of a version of a resource has the same bytes.
 */
export function encrypt({ path }: Node, value: Primitive, key: Buffer, { resource }: Scene): Change {
  const text = textOf(value);
  const vector = createHmac('sha256', key).update(`encrypt\n${resource}\n${path}\n${text}`).digest();
  const iv = vector.subarray(0, 16);
  const cipher = createCipheriv(`aes-${key.length * 8}-cbc`, key, iv);
  const encrypted = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final()]);
  return { value: encrypted.toString('base64'), operation: 'encrypt' };
}

/**
 * Adds noise from a uniform distribution over [-span/2, span/2], times the value if proportional. The noise is an HMAC of the place and
 * the value: to repeat an export does not draw again, so averages tell nothing.
 */
export function perturb(
  { type, path }: Node,
  value: Primitive,
  rule: Rule,
  keys: Keys,
  { resource }: Scene,
): Change {
  const text = textOf(value);
  const key = noiseKeyOf(keys);
  const number = Number(text);
  if (!key || !(type === 'decimal' || INTEGERS.test(type)) || !Number.isFinite(number)) return undefined;
  const draw = createHmac('sha256', key).update(`perturb\n${resource}\n${path}\n${text}`).digest();
  const uniform = draw.readUIntBE(0, 6) / 2 ** 48 - 0.5;
  const width = (rule.span ?? 0) * (rule.rangeType === 'proportional' ? Math.abs(number) : 1);
  const isInteger = type !== 'decimal';
  const noisy = (number + uniform * width).toFixed(isInteger ? 0 : (rule.roundTo ?? 2));
  const least = type === 'positiveInt' ? 1 : type === 'unsignedInt' ? 0 : -Infinity;
  return { value: numberOf(Number(noisy) < least ? String(least) : noisy), operation: 'perturb' };
}

/** The given text in the form of the old value: a number for a number, if it is one. */
export function substituted(value: Primitive | undefined, replaceWith: unknown): unknown {
  if (typeof replaceWith !== 'string') return replaceWith;
  if (typeof value === 'boolean' && /^(true|false)$/.test(replaceWith)) return replaceWith === 'true';
  const isNumber = typeof value === 'number' || typeof value === 'object';
  return isNumber && /^-?\d+(\.\d+)?$/.test(replaceWith) ? numberOf(replaceWith) : replaceWith;
}
