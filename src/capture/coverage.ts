import type { CoverageFact } from '../events/position.ts';
import type { Catalog } from './catalog.ts';

const SETTINGS = 'the meaning of the settings HEADWATER_SOURCE_*';

/**
 * Returns the facts that must not change between two moments if the stream has everything in between: the objects by their ids, and the
 * catalog rows that a change which came and went would have written again. Replica identity is not among it: PostgreSQL says
 * in the stream with which identity a change was written. A partition's file is: its TRUNCATE is not in the stream.
 * @param fingerprint the settings that shape bodies
 */
export function coverageOf(
  { publication, tables, followed }: Catalog,
  name: string,
  fingerprint: string,
): CoverageFact[] {
  const facts: CoverageFact[] = [{ subject: `publication ${name}`, value: publication?.identity ?? '' }];
  if (fingerprint !== '') facts.push({ subject: SETTINGS, value: fingerprint });
  for (const [i, one] of followed.entries()) {
    const subject = `${one.schema}.${one.table}`;
    const table = tables[i];
    facts.push({ subject: `table ${subject}`, value: table ? String(table.oid) : '' });
    if (!table) continue;
    const { membership } = table;
    // PostgreSQL lets a table leave the log (UNLOGGED) or its schema while a publication of all tables or of the schema has it.
    const xmin = membership?.kind === 'table' ? '' : `.${table.xmin}`;
    facts.push({
      subject: `${subject} in publication ${name}`,
      value: `${membership?.kind ?? 'none'} ${membership?.identity ?? ''}${xmin}`,
    });
    for (const part of table.partitions)
      facts.push({
        subject: `partition ${part.schema}.${part.table} of ${subject}`,
        value: `${part.oid}.${part.attached} ${part.filenode}`,
      });
    for (const { name: column } of one.columns) {
      const is = table.columns.find((other) => other.name === column);
      const value = is ? `${is.number} ${is.typeIdentity} ${is.generated} ${is.xmin}/${table.filenode}` : '';
      facts.push({ subject: `column ${column} of ${subject}`, value });
    }
  }
  return facts;
}

/**
 * Returns a table that was followed and is not found any more; undefined if all are there. With other settings than then, tables may
 * be left out on purpose.
 */
export function lostTable(proved: readonly CoverageFact[], now: readonly CoverageFact[]): string | undefined {
  const settings = (facts: readonly CoverageFact[]): string =>
    facts.find(({ subject }) => subject === SETTINGS)?.value ?? '';
  if (settings(proved) !== settings(now)) return undefined;
  const present = new Set(now.map(({ subject }) => subject));
  return proved.find(({ subject, value }) => /^table /.test(subject) && value !== '' && !present.has(subject))
    ?.subject;
}

/** Returns the name of the first fact that has changed since it was proved; undefined if none has. */
export function coverageGap(
  proved: readonly CoverageFact[],
  now: readonly CoverageFact[],
): string | undefined {
  const before = new Map(proved.map(({ subject, value }) => [subject, value]));
  const changed = now.find(({ subject, value }) => !same(before.get(subject), value));
  if (changed) return before.has(changed.subject) ? changed.subject : `${changed.subject}, which is new,`;
  const present = new Set(now.map(({ subject }) => subject));
  return proved.find(({ subject }) => !present.has(subject))?.subject;
}

/** A column's definition and its table's file both change when ALTER writes its values again; either alone leaves the values as they were. */
function same(before: string | undefined, now: string): boolean {
  if (before === undefined || before === now) return before === now;
  const [a, b] = [LAYOUT.exec(before), LAYOUT.exec(now)];
  return a !== null && b !== null && a[1] === b[1] && (a[2] === b[2] || a[3] === b[3]);
}

const LAYOUT = /^(.*) (\d+)\/(\d+)$/;
