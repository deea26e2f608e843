import type pg from 'pg';
import { unavailable } from '../database/errors.ts';
import type { Lookup } from './presets/preset.ts';

/** Answers lookups from one session, which it opens at the first question. */
export class SourceLookup {
  readonly #open: () => Promise<pg.Client>;
  #client: pg.Client | undefined;

  constructor(open: () => Promise<pg.Client>) {
    this.#open = open;
  }

  readonly lookup: Lookup = async (sql, values) => {
    try {
      this.#client ??= await this.#open();
      return await lookupOver(this.#client)(sql, values);
    } catch (error) {
      throw unavailable(error);
    }
  };

  async close(): Promise<void> {
    await this.#client?.end().catch(() => undefined);
  }
}

/** Every column comes as PostgreSQL prints it. */
export function lookupOver(client: pg.Client): Lookup {
  return async (text, values) => {
    const types = { getTypeParser: () => (value: string) => value };
    const { rows } = await client.query<(string | null)[]>({
      text,
      values: [...values],
      rowMode: 'array',
      types,
    });
    return rows;
  };
}
