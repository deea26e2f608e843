/**
 * FNV-1a, 32 bits: the same everywhere and forever, for what is stored or has to come out alike when it is done again. Not
 * against anybody who wants two texts to share one.
 */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
