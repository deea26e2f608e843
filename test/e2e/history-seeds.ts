import { randomInt } from 'node:crypto';

/** The seeds that HEADWATER_TEST_SEED lists, else random ones: even and odd ones in turn. */
export function historySeeds(count: number): number[] {
  const given = process.env['HEADWATER_TEST_SEED'];
  return given === undefined
    ? Array.from({ length: count }, (_, i) => 2 * randomInt(2 ** 30) + (i % 2))
    : given.split(',').map(Number);
}
