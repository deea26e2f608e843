import type { Span } from './json-scan.ts';

/** Below so many bytes a loop is faster than a call out of JavaScript. */
const SHORT = 32;

/** Text made of parts of a source, copied as they are, and of insertions. Neighbours are copied in one go. */
export class Splice {
  readonly #source: Buffer;
  /** From, to; an insertion has -1 and its index. */
  readonly #pieces: number[] = [];
  readonly #inserted: string[] = [];
  /** Where the last piece ends in the source; -1 after an insertion. */
  #copied = -1;
  #length = 0;

  constructor(source: Buffer) {
    this.#source = source;
  }

  copy({ start, end }: Span): void {
    this.copyRange(start, end);
  }

  copyRange(start: number, end: number): void {
    if (start === end) return;
    this.#length += end - start;
    if (this.#copied === start) this.#pieces[this.#pieces.length - 1] = end;
    else this.#pieces.push(start, end);
    this.#copied = end;
  }

  /** @param text of ASCII only */
  insert(text: string): void {
    this.#length += text.length;
    this.#pieces.push(-1, this.#inserted.push(text) - 1);
    this.#copied = -1;
  }

  /** Copies a span with text in the place of a part of it. */
  copyWith({ start, end }: Span, part: Span, text: string): void {
    this.copyRange(start, part.start);
    this.insert(text);
    this.copyRange(part.end, end);
  }

  /** Shares no memory with the source. */
  toBuffer(): Buffer {
    const pieces = this.#pieces;
    const made = Buffer.allocUnsafe(this.#length);
    let at = 0;
    for (let i = 0; i < pieces.length; i += 2) {
      const start = pieces[i] as number;
      const end = pieces[i + 1] as number;
      at += start < 0 ? write(made, at, this.#inserted[end] ?? '') : copy(made, at, this.#source, start, end);
    }
    return made;
  }
}

function write(made: Buffer, at: number, text: string): number {
  if (text.length >= SHORT) return made.write(text, at, 'latin1');
  for (let i = 0; i < text.length; i++) made[at + i] = text.charCodeAt(i);
  return text.length;
}

function copy(made: Buffer, at: number, source: Buffer, start: number, end: number): number {
  if (end - start >= SHORT) return source.copy(made, at, start, end);
  for (let i = start; i < end; i++) made[at + i - start] = source[i] as number;
  return end - start;
}
