import type { Span } from './json-scan.ts';

/** Text made of parts of a source, copied as they are, and of insertions. Neighbours are copied in one go. */
export class Splice {
  readonly #source: Buffer;
  /** From, to; an insertion has -1 and its index. */
  readonly #pieces: number[] = [];
  readonly #inserted: string[] = [];
  #length = 0;

  constructor(source: Buffer) {
    this.#source = source;
  }

  copy({ start, end }: Span): void {
    if (start === end) return;
    this.#length += end - start;
    if (this.#pieces.at(-1) === start && this.#pieces.at(-2) !== -1)
      this.#pieces[this.#pieces.length - 1] = end;
    else this.#pieces.push(start, end);
  }

  /** @param text of ASCII only */
  insert(text: string): void {
    this.#length += text.length;
    this.#pieces.push(-1, this.#inserted.push(text) - 1);
  }

  /** Copies a span with text in the place of a part of it. */
  copyWith({ start, end }: Span, part: Span, text: string): void {
    this.copy({ start, end: part.start });
    this.insert(text);
    this.copy({ start: part.end, end });
  }

  /** Shares no memory with the source. */
  toBuffer(): Buffer {
    const made = Buffer.allocUnsafe(this.#length);
    let at = 0;
    for (let i = 0; i < this.#pieces.length; i += 2) {
      const start = this.#pieces[i] ?? 0;
      const end = this.#pieces[i + 1] ?? 0;
      at +=
        start < 0
          ? made.write(this.#inserted[end] ?? '', at, 'latin1')
          : this.#source.copy(made, at, start, end);
    }
    return made;
  }
}
