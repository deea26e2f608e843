/** Zigzag varints, as record batches hold them. The reader leaves the position after the number in `varintEnd`: no object a number. */
export let varintEnd = 0;

export function readVarint(data: Buffer, from: number): number {
  let at = from;
  let byte = data[at++] as number;
  if (byte < 0x80) {
    varintEnd = at;
    return (byte >>> 1) ^ -(byte & 1);
  }
  let value = byte & 0x7f;
  let scale = 128;
  do {
    byte = data[at++] as number;
    value += (byte & 0x7f) * scale;
    scale *= 128;
  } while (byte >= 0x80);
  varintEnd = at;
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

export function varintBytes(value: number): number {
  let rest = zigzag(value);
  let bytes = 1;
  while (rest >= 128) {
    rest = Math.floor(rest / 128);
    bytes++;
  }
  return bytes;
}

/** The position after it. */
export function writeVarint(data: Buffer, from: number, value: number): number {
  let rest = zigzag(value);
  let at = from;
  while (rest >= 128) {
    data[at++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  data[at++] = rest;
  return at;
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}
