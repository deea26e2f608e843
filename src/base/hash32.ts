/**
 * FNV-1a, 32 bits. The result never changes, so it may be stored and repeated runs agree. It is not secure: texts with the same hash are
 * easy to find.
 */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
