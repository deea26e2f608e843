import { createPrivateKey } from 'node:crypto';
import { isRole, ROLES } from './roles.ts';
import type { Role } from './roles.ts';

/** A kind of setting. `parse` throws an Error whose message says what is allowed and never holds the value. */
export interface ValueType<T> {
  /** For people: `whole number`, `hours`. */
  readonly name: string;
  parse(text: string): T;
}

export const text: ValueType<string> = { name: 'text', parse: (value) => value };

export const switched: ValueType<boolean> = {
  name: 'true or false',
  parse: (value) => {
    if (value === 'true' || value === '1') return true;
    if (value === 'false' || value === '0') return false;
    throw new Error('must be true or false');
  },
};

export function wholeNumber(least: number, most: number): ValueType<number> {
  return {
    name: 'whole number',
    parse: (value) => {
      const number = /^\d{1,15}$/.test(value) ? Number(value) : NaN;
      if (!(number >= least && number <= most)) {
        throw new Error(`must be a whole number from ${String(least)} to ${String(most)}`);
      }
      return number;
    },
  };
}

/** A private key. An environment file may hold its line ends as `\\n`. */
export const pem: ValueType<string> = {
  name: 'PEM',
  parse: (value) => {
    const key = value.replaceAll('\\n', '\n');
    try {
      createPrivateKey(key);
    } catch {
      throw new Error('must be a private key in PEM, which begins with -----BEGIN PRIVATE KEY-----');
    }
    return key;
  },
};

const MS = { seconds: 1000, minutes: 60_000, hours: 3_600_000, days: 86_400_000 } as const;

/** A length of time, written as a number of the unit (decimals allowed), kept in ms. */
export function duration(unit: keyof typeof MS): ValueType<number> {
  return {
    name: unit,
    parse: (value) => {
      const ms = /^\d{1,9}(\.\d{1,6})?$/.test(value) ? Math.round(Number(value) * MS[unit]) : 0;
      if (ms < 1) throw new Error(`must be a number of ${unit} above 0`);
      return ms;
    },
  };
}

const BYTES: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
]);

export const byteSize: ValueType<number> = {
  name: 'bytes',
  parse: (value) => {
    const match = /^(\d{1,12}) ?(KiB|MiB|GiB)?$/.exec(value);
    const bytes = Number(match?.[1] ?? 0) * (BYTES.get(match?.[2] ?? '') ?? 0);
    if (bytes < 1 || !Number.isSafeInteger(bytes))
      throw new Error('must be a number of bytes, as 134217728 or 128MiB');
    return bytes;
  },
};

/** `says` completes "must be". */
export function atMost(type: ValueType<number>, most: number, says: string): ValueType<number> {
  return {
    name: type.name,
    parse: (value) => {
      const number = type.parse(value);
      if (number > most) throw new Error(`must be ${says}`);
      return number;
    },
  };
}

/** A URL of one of the schemes (`https:`), without a trailing slash. */
export function url(...schemes: readonly string[]): ValueType<string> {
  return {
    name: 'URL',
    parse: (value) => {
      if (!schemes.includes(URL.parse(value)?.protocol ?? '')) {
        throw new Error(
          `must be a URL that starts with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}`,
        );
      }
      return value.replace(/\/+$/, '');
    },
  };
}

/** Any number of URLs, as `url` takes them, with commas. */
export function urlList(...schemes: readonly string[]): ValueType<readonly string[]> {
  const one = url(...schemes);
  return { name: 'list of URLs', parse: (value) => items(value).map((item) => one.parse(item)) };
}

/** Origins as browsers send them; or `*`, which stands for all of them. */
export const originList: ValueType<readonly string[]> = {
  name: 'list of origins',
  parse: (value) =>
    items(value).map((item) => {
      const origin = item === '*' ? item : URL.parse(item)?.origin;
      if (origin !== undefined && /^(?:\*|https?:\/\/[^/?#@]+\/?)$/i.test(item)) return origin;
      throw new Error('must be origins with commas, each as https://app.example.org, or *');
    }),
};

export const brokerList: ValueType<readonly string[]> = {
  name: 'list of host:port',
  parse: (value) => {
    const brokers = items(value);
    if (
      brokers.length === 0 ||
      !brokers.every((broker) => /^[^\s:]+:\d{1,5}$|^\[[\da-f:]+\]:\d{1,5}$/i.test(broker))
    ) {
      throw new Error('must be host:port, or several of them with commas');
    }
    return brokers;
  },
};

export const roleList: ValueType<readonly Role[]> = {
  name: 'list of roles',
  parse: (value) => {
    const names = items(value);
    const roles = names.filter(isRole);
    if (roles.length === 0 || roles.length < names.length)
      throw new Error(`must be some of ${ROLES.join(',')}`);
    return [...new Set(roles)];
  },
};

export function oneOf<const T extends string>(...words: readonly T[]): ValueType<T> {
  return {
    name: words.join(', '),
    parse: (value) => {
      const word = words.find((candidate) => candidate === value.toLowerCase());
      if (word === undefined) throw new Error(`must be one of ${words.join(', ')}`);
      return word;
    },
  };
}

/** Text that must match; `says` completes "must be". */
export function pattern(expression: RegExp, says: string): ValueType<string> {
  return {
    name: 'text',
    parse: (value) => {
      if (!expression.test(value)) throw new Error(`must be ${says}`);
      return value;
    },
  };
}

/** Any number of words with commas, each of which must match; `says` completes "each must be". */
export function list(expression: RegExp, says: string): ValueType<readonly string[]> {
  return {
    name: 'list',
    parse: (value) => {
      const words = items(value);
      if (!words.every((word) => expression.test(word)))
        throw new Error(`must be words with commas, each ${says}`);
      return [...new Set(words)];
    },
  };
}

function items(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
