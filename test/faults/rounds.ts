const factor = Number(process.env['HEADWATER_TEST_FAULT_ROUNDS'] ?? 1);

/** How often a fault is repeated: `few` by default, more when HEADWATER_TEST_FAULT_ROUNDS multiplies it. */
export function rounds(few: number): number {
  return Math.max(1, Math.round(few * factor));
}
