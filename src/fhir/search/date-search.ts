import { isObject } from '../../base/is-object.ts';
import { dateTimeRange } from '../date-time.ts';
import { compare, type Interval, splitPrefix } from './interval.ts';
import type { Leaf } from './search-parameters.ts';
import { type LeafTest, refuse, type SearchValue } from './search-value.ts';

/** A search may leave out the seconds of a time, and its zone. */
const TIME = /^(.{10}T\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?$/;

/** https://hl7.org/fhir/R4/search.html#date. What says no zone is taken in UTC. */
export function dateTest(value: SearchValue, leaf: Leaf): LeafTest {
  // In a query string a `+` can have become a space
  const split = splitPrefix(value.text.replace(' ', '+'));
  const range = split && dateInterval(split.rest);
  if (!range) {
    refuse(
      `"${value.text}" is no value for the date ${value.label}; write a date like 2024, 2024-05-31 or ` +
        '2024-05-31T08:00:00Z, if needed after eq, ne, gt, lt, ge, le, sa, eb or ap.',
    );
  }
  const { prefix } = split;
  const search = prefix === 'ap' ? widen(range) : range;
  const intervalOf = INTERVALS[leaf.dataType] ?? dateInterval;
  return (found) => {
    const target = intervalOf(found);
    return target !== undefined && compare(prefix, target, search);
  };
}

/** The time that a date, dateTime or instant of any precision covers. */
export function dateInterval(found: unknown): Interval | undefined {
  if (typeof found !== 'string') return undefined;
  const [, minutes, seconds, zone = 'Z'] = TIME.exec(found) ?? [];
  const range = dateTimeRange(minutes === undefined ? found : `${minutes}${seconds ?? ':00'}${zone}`);
  if (!range) return undefined;
  const toTheMinute = minutes !== undefined && seconds === undefined;
  return { low: range.from, high: (toTheMinute ? range.from + 60_000 : range.to) - 1 };
}

const INTERVALS: Readonly<Record<string, (found: unknown) => Interval | undefined>> = {
  Period: periodInterval,
  Timing: timingInterval,
};

/** An end that is not known is open. */
function periodInterval(found: unknown): Interval | undefined {
  if (!isObject(found)) return undefined;
  const start = dateInterval(found['start']);
  const end = dateInterval(found['end']);
  return start || end ? { low: start?.low ?? -Infinity, high: end?.high ?? Infinity } : undefined;
}

/** R4 searches only the outer limits of a Timing. */
function timingInterval(found: unknown): Interval | undefined {
  if (!isObject(found)) return undefined;
  const events = Array.isArray(found['event']) ? found['event'].map(dateInterval) : [];
  const repeat = isObject(found['repeat']) ? periodInterval(found['repeat']['boundsPeriod']) : undefined;
  const all = [...events, repeat].filter((interval) => interval !== undefined);
  if (all.length === 0) return undefined;
  return {
    low: Math.min(...all.map(({ low }) => low)),
    high: Math.max(...all.map(({ high }) => high)),
  };
}

/**
 * `ap` reaches half its length further to both sides: 2024 touches the years next to it. R4 leaves the measure open; its example,
 * a tenth of the time until now, would give a task that is repeated other results.
 */
function widen({ low, high }: Interval): Interval {
  const margin = (high - low) / 2;
  return { low: low - margin, high: high + margin };
}
