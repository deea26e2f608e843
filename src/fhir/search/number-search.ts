import { isObject } from '../../base/is-object.ts';
import { compare, type Interval, splitPrefix } from './interval.ts';
import type { Leaf } from './search-parameters.ts';
import { type LeafTest, refuse, type SearchValue, splitUnescaped, unescapeValue } from './search-value.ts';

const DECIMAL = /^(-?\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/;
const CURRENCIES = 'urn:iso:std:iso:4217';

/** https://hl7.org/fhir/R4/search.html#number */
export function numberTest(value: SearchValue, leaf: Leaf): LeafTest {
  const matches = numberComparison(value.text, value);
  return (found) => {
    const target = leaf.dataType === 'Range' ? rangeInterval(found) : point(found);
    return target !== undefined && matches(target);
  };
}

/** https://hl7.org/fhir/R4/search.html#quantity. Units are compared as they are, never converted. */
export function quantityTest(value: SearchValue, leaf: Leaf): LeafTest {
  const parts = splitUnescaped(value.text, '|').map(unescapeValue);
  const [number = '', system = '', code = ''] = parts;
  if (parts.length !== 1 && (parts.length !== 3 || (system === '' && code === ''))) {
    refuse(
      `"${value.text}" is no value for ${value.label}; write 5.4, 5.4|http://unitsofmeasure.org|mg or 5.4||mg.`,
    );
  }
  const matches = numberComparison(number, value);
  const intervalOf = INTERVALS[leaf.dataType] ?? quantityInterval;
  return (found) => {
    if (!isObject(found) || !hasUnit(found, system, code)) return false;
    const target = intervalOf(found);
    return target !== undefined && matches(target);
  };
}

const INTERVALS: Readonly<Record<string, (found: Record<string, unknown>) => Interval | undefined>> = {
  Range: rangeInterval,
  SampledData: sampledInterval,
  Money: (found) => point(found['value']),
};

/** `eq` and `ne` go by the digits given: 100 is everything that rounds to it. The other prefixes take the number as exact. */
function numberComparison(text: string, value: SearchValue): (target: Interval) => boolean {
  const split = splitPrefix(text);
  const match = split && DECIMAL.exec(split.rest);
  if (!match) {
    refuse(
      `"${text}" is no number for ${value.label}; write one like 5, 5.40 or 5.4e-3, if needed after eq, ne, gt, lt, ge, le, sa, eb or ap.`,
    );
  }
  const { prefix } = split;
  const [, whole = '', decimals = '', exponent = '0'] = match;
  const exact = Number(split.rest);
  const lastDigit = Number(exponent) - decimals.length;
  const digits = BigInt(whole + decimals) * 10n;
  const low = Number(`${String(digits - 5n)}e${lastDigit - 1}`);
  const end = Number(`${String(digits + 5n)}e${lastDigit - 1}`);
  if (prefix === 'eq' || prefix === 'ne') {
    return (target) => (target.low >= low && target.high < end) === (prefix === 'eq');
  }
  const margin = prefix === 'ap' ? Math.max(Math.abs(exact) / 10, exact - low) : 0;
  const search = { low: exact - margin, high: exact + margin };
  return (target) => compare(prefix, target, search);
}

function point(found: unknown): Interval | undefined {
  return typeof found === 'number' ? { low: found, high: found } : undefined;
}

function quantityInterval(found: Record<string, unknown>): Interval | undefined {
  const { value, comparator } = found as { value?: unknown; comparator?: unknown };
  if (typeof value !== 'number') return undefined;
  const below = comparator === '<' || comparator === '<=';
  const above = comparator === '>' || comparator === '>=';
  return { low: below ? -Infinity : value, high: above ? Infinity : value };
}

/** A side that is not known is open. */
function rangeInterval(found: unknown): Interval | undefined {
  if (!isObject(found)) return undefined;
  const low = isObject(found['low']) ? found['low']['value'] : undefined;
  const high = isObject(found['high']) ? found['high']['value'] : undefined;
  if (typeof low !== 'number' && typeof high !== 'number') return undefined;
  return { low: typeof low === 'number' ? low : -Infinity, high: typeof high === 'number' ? high : Infinity };
}

/** The span from the lowest to the highest sample; E, L and U are samples without a number. */
function sampledInterval(found: Record<string, unknown>): Interval | undefined {
  const { origin, factor = 1, data } = found as { origin?: unknown; factor?: unknown; data?: unknown };
  const zero = isObject(origin) ? origin['value'] : undefined;
  if (typeof zero !== 'number' || typeof factor !== 'number' || typeof data !== 'string') return undefined;
  let [low, high] = [Infinity, -Infinity];
  for (const text of data.split(' ')) {
    const sample = zero + Number(text) * factor;
    if (text === '' || Number.isNaN(sample)) continue;
    low = Math.min(low, sample);
    high = Math.max(high, sample);
  }
  return low <= high ? { low, high } : undefined;
}

function hasUnit(found: Record<string, unknown>, system: string, code: string): boolean {
  if (system === '' && code === '') return true;
  if (found['currency'] !== undefined) {
    return (system === '' || system === CURRENCIES) && (code === '' || found['currency'] === code);
  }
  const parts = [found['low'], found['high'], found['origin']].filter(isObject);
  return (parts.length > 0 ? parts : [found]).some((quantity) =>
    system === ''
      ? quantity['code'] === code || quantity['unit'] === code
      : quantity['system'] === system && (code === '' || quantity['code'] === code),
  );
}
