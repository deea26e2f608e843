import { isObject } from '../base/is-object.ts';

/** A number whose text is not that of JavaScript's number: 1.10 stays 1.10 (R4 datatypes, decimal). */
export interface NumberText {
  readonly rawJSON: string;
}

export type Primitive = string | number | boolean | NumberText;

/** JSON.parse source text access (ECMAScript 2026), which TypeScript does not declare yet. */
const json = JSON as unknown as {
  readonly rawJSON: (text: string) => NumberText;
  readonly isRawJSON: (value: unknown) => value is NumberText;
};

/** Parses JSON and keeps the text of numbers. JSON.stringify writes them as they were. */
export function parseWithNumbers(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) => {
    const source = context?.source;
    return typeof value === 'number' && source !== undefined && source !== String(value)
      ? json.rawJSON(source)
      : value;
  });
}

export function isNumberText(value: unknown): value is NumberText {
  return isObject(value) && json.isRawJSON(value);
}

/** A number of this text in JSON. */
export function numberOf(text: string): Primitive {
  return String(Number(text)) === text ? Number(text) : json.rawJSON(text);
}

export function textOf(value: Primitive): string {
  return isNumberText(value) ? value.rawJSON : String(value);
}
