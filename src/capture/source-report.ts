import type pg from 'pg';
import type { Catalog } from './catalog.ts';
import type { Preset } from './presets/preset.ts';
import type { Problem } from './source-problem.ts';
import { lookupOver } from './source-lookup.ts';
import { preparationSql } from './source-sql.ts';

/** The findings of a check. */
export interface SourceReport {
  /** The tables that would be followed, as `schema.table`. */
  readonly tables: readonly string[];
  /** A line each, for an operator to mend. */
  readonly problems: readonly string[];
  /** SQL that Headwater runs itself at its next start. */
  readonly mends: readonly string[];
}

/** The parts of a source that a report needs. */
interface Reported {
  readonly preset: Preset;
  /** A session for long queries. The caller ends it. */
  readingSession(): Promise<pg.Client>;
  catalogOver(client: pg.Client): Promise<Catalog>;
  /** Throws `unavailable` if a table does not exist. */
  requireTables(catalog: Catalog): void;
  problemsOf(catalog: Catalog): readonly Problem[];
}

/** Looks at everything that a start proves, and changes nothing. Throws `unavailable` if a table does not exist. */
export async function checkSource(source: Reported): Promise<SourceReport> {
  const catalog = await catalogOf(source);
  const problems = source.problemsOf(catalog);
  const stop = problems.filter(({ mend }) => !mend).map(({ text }) => text);
  const answers: string[] = [];
  // A question to a table that may not be read would only fail.
  if (stop.length === 0) for await (const text of wrongAnswers(source, catalog)) answers.push(text);
  return {
    tables: catalog.followed.map(({ schema, table }) => `${schema}.${table}`),
    problems: [...stop, ...answers],
    mends: problems.flatMap(({ mend = [] }) => mend),
  };
}

/** Returns the statements that a superuser has to run so that this role can follow the source. */
export async function preparationFor(source: Reported, role: string): Promise<string[]> {
  const catalog = await catalogOf(source);
  const client = await source.readingSession();
  try {
    const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [role]);
    const alsoReads = source.preset.alsoReads(catalog.found);
    return preparationSql(catalog, source.problemsOf(catalog), { role, exists: rowCount !== 0, alsoReads });
  } finally {
    await client.end();
  }
}

/** Asks the preset's questions, and yields a line for each answer that is wrong. A question may look through whole tables. */
export async function* wrongAnswers(
  source: Pick<Reported, 'preset' | 'readingSession'>,
  { followed, found }: Catalog,
): AsyncIterable<string> {
  const preflights = source.preset.preflights(followed, found);
  if (preflights.length === 0) return;
  const client = await source.readingSession();
  try {
    for (const { sql, problem } of preflights) {
      const text = problem(await lookupOver(client)(sql, []));
      if (text !== undefined) yield text;
    }
  } finally {
    await client.end();
  }
}

async function catalogOf(source: Reported): Promise<Catalog> {
  const client = await source.readingSession();
  try {
    const catalog = await source.catalogOver(client);
    source.requireTables(catalog);
    return catalog;
  } finally {
    await client.end();
  }
}
