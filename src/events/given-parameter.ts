import { bad, quoted, shortened } from '../base/bad-request.ts';
import { HeadwaterError } from '../base/errors.ts';

/** A parameter as the client sent it, in the query or in a Parameters resource. */
export interface RawParameter {
  readonly name: string;
  /** undefined for a value that a query cannot have. */
  readonly value: string | undefined;
}

/** Each warning becomes a line of the export's `error` file and is stored with its request. */
const MAX_WARNINGS = 100;

/** The warnings of a request; refuses instead of warning unless the client asked for lenient handling. */
export class Leniency {
  readonly warnings: string[] = [];
  readonly #lenient: boolean;

  /** @param lenient the client sent `Prefer: handling=lenient` */
  constructor(lenient: boolean) {
    this.#lenient = lenient;
  }

  /** Throws `bad-request`, or with lenient handling adds a warning that something is ignored. */
  ignore(name: string, message: string): void {
    const words = shortened(message, 300)
      .toWellFormed()
      .replaceAll(/\p{Cc}/gu, '\uFFFD');
    if (!this.#lenient) throw bad(name, words);
    if (this.warnings.length === MAX_WARNINGS)
      throw bad(name, `${words}; ${MAX_WARNINGS} other things would be ignored already`);
    this.warnings.push(`Ignored: ${words}`);
  }

  warn(warning: string): void {
    this.warnings.push(warning);
  }
}

/** The values that a client gave for one parameter of `$export`. */
export class GivenParameter {
  readonly name: string;
  readonly #raw: readonly RawParameter[];
  readonly #leniency: Leniency;

  /** @param raw all parameters of the request */
  constructor(name: string, raw: readonly RawParameter[], leniency: Leniency) {
    this.name = name;
    this.#raw = raw;
    this.#leniency = leniency;
  }

  /** The value of a parameter that may be given once. A `+` that was not escaped has become a space; no such value has spaces. */
  once(): string | undefined {
    const values = this.values();
    if (values.length > 1)
      throw bad(
        this.name,
        `${this.name} is given ${values.length} times, last as ${quoted(values.at(-1) ?? '')}; once is allowed`,
      );
    return values[0]?.trim().replaceAll(' ', '+');
  }

  values(): string[] {
    return this.#raw
      .filter((parameter) => parameter.name === this.name)
      .map(({ value }) => {
        if (value !== undefined) return value;
        throw bad(
          this.name,
          `${this.name}: it must have one value, which is a string, a boolean or a reference`,
        );
      });
  }

  /** Values with commas, which some clients encode twice; each once. Order and repetition mean nothing. */
  list(): string[] {
    const values = this.values().flatMap((value) => value.split(/,|%2C/i));
    return [...new Set(values.map((value) => value.trim()))];
  }

  /** The values of a list that pass the check. An empty value counts: `_type=` must not mean every type. */
  known(check: (value: string) => void): readonly string[] {
    const given = this.list();
    const known = given.filter((value) => this.understood(() => (check(value), true)));
    if (given.length === 0 || known.length > 0) return known;
    const all = shortened(given.map(quoted).join(', '), 200);
    throw bad(
      this.name,
      `${this.name}: ${all}: nothing of it is understood, and nothing must not become everything`,
    );
  }

  /** Ignores a value whose parser throws `bad-request`. */
  understood<T>(parse: () => T): T | undefined {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof HeadwaterError) || error.code !== 'bad-request') throw error;
      this.ignore(error.message);
      return undefined;
    }
  }

  ignore(message: string): void {
    this.#leniency.ignore(this.name, message);
  }

  warn(warning: string): void {
    this.#leniency.warn(warning);
  }
}
