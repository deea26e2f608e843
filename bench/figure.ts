import type { StreamRate } from './measurements.ts';

/** One line of the result. */
export interface Figure {
  readonly name: string;
  /** As people read it. */
  readonly value: string;
  /** The number to compare with the target and with later runs. */
  readonly number: number;
  readonly unit: 's' | 'ms' | 'MB/s' | 'resources/s' | 'MB' | 'ratio';
  readonly target?: string;
  readonly reached?: boolean;
  readonly how: string;
}

export interface Target {
  readonly atMost?: number;
  readonly atLeast?: number;
  readonly words: string;
}

export function rate(
  name: string,
  {
    resources,
    bytes,
    seconds: time,
  }: Pick<StreamRate, 'resources' | 'seconds'> & { readonly bytes?: number },
  how: string,
  target?: Target,
): Figure {
  const each = resources / time;
  const size = bytes === undefined ? '' : `, ${perSecond(bytes / time)}`;
  const value = `${whole(each)} resources/s${size}, ${seconds(time)}`;
  return figure(name, each, 'resources/s', { value, how, ...(target && { target }) });
}

export function ratio(name: string, number: number, target: Target | undefined, how: string): Figure {
  const value = number.toFixed(number < 0.1 ? 3 : 2);
  return figure(name, number, 'ratio', { value, how, ...(target && { target }) });
}

export function figure(
  name: string,
  number: number,
  unit: Figure['unit'],
  rest: { readonly value: string; readonly how: string; readonly target?: Target },
): Figure {
  const { value, how, target } = rest;
  if (!target) return { name, value, number, unit, how };
  const { atMost = Infinity, atLeast = -Infinity, words } = target;
  return { name, value, number, unit, target: words, reached: number <= atMost && number >= atLeast, how };
}

export function seconds(value: number): string {
  return `${value.toFixed(value < 1 ? 3 : 2)} s`;
}

export function each(values: readonly number[]): string {
  return values.map((value) => value.toFixed(2)).join(', ') + ' s';
}

export function perSecond(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB/s`;
}

export function megabytes(bytes: number): string {
  return `${whole(bytes / 1e6)} MB`;
}

/** 15 000, as the targets are written. */
export function whole(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ');
}
