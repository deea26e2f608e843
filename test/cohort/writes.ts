import type { Json, Write } from './world.ts';

export const put = (type: string, id: string, resource: Json = {}): Write => ({ type, id, resource });

export const gone = (type: string, id: string): Write => ({ type, id, resource: undefined });

/** A reference to `Type/id`. */
export const to = (key: string): Json => ({ reference: key });
