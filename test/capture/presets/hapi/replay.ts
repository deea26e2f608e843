import { HapiFold } from '../../../../src/capture/presets/hapi/fold.ts';
import { ZoneClock } from '../../../../src/capture/presets/hapi/local-time.ts';
import { followedTables } from '../../../../src/capture/presets/hapi/tables.ts';
import { TagDefinitions } from '../../../../src/capture/presets/hapi/tag-definitions.ts';
import type { RowChange } from '../../../../src/capture/presets/preset.ts';
import type { Tuple } from '../../../../src/capture/pgoutput.ts';
import type { Recording } from '../../../servers/hapi/recording.ts';
import type { RecordedChange, RecordedRow } from '../../../servers/hapi/wal-recorder.ts';
import { RecordedRows } from './recorded-rows.ts';

/** What one recorded operation becomes. */
export interface Replayed {
  readonly recording: Recording;
  readonly changes: readonly RowChange[];
  /** The lookups that it took, by name. */
  readonly asked: readonly string[];
}

export interface ReplayOptions {
  readonly hasTags: boolean;
  readonly versionsHaveTags?: boolean;
  /** Whether transactions are completed in parts. */
  readonly parts?: boolean;
  /** Whether queries see a transaction only after it was folded. */
  readonly late?: boolean;
}

/** Gives the transactions of recordings to a fold, one after the other. */
export async function replay(
  recordings: readonly Recording[],
  { hasTags, versionsHaveTags = true, parts = false, late = false }: ReplayOptions,
): Promise<Replayed[]> {
  const rows = new RecordedRows();
  const reading = { clock: new ZoneClock('UTC'), follows: () => true };
  const definitions = new TagDefinitions(rows);
  const fold = new HapiFold({ lookups: rows, definitions, reading, hasTags, versionsHaveTags });
  const tables = followedTables('public', hasTags);
  const columns = describeAll(fold, recordings, tables);
  const lookup = (): Promise<never> => Promise.reject(new Error('a recording has no database'));
  const replayed: Replayed[] = [];
  for (const recording of recordings) {
    const changes: RowChange[] = [];
    const before = rows.asked.length;
    for (const transaction of recording.transactions) {
      if (!late) for (const change of transaction) rows.apply(change);
      for (const { table, old, new: row } of transaction) {
        const oid = tables.findIndex((one) => one.table === table);
        if (oid === -1) continue;
        const names = columns.get(table) ?? [];
        changes.push(...fold.add(oid, old && tupleOf(names, old), row && tupleOf(names, row)));
        if (parts && table === 'hfj_res_ver') changes.push(...(await fold.complete(lookup, false)));
      }
      changes.push(...(await fold.complete(lookup, true)));
      if (late) for (const change of transaction) rows.apply(change);
    }
    replayed.push({ recording, changes, asked: rows.asked.slice(before) });
  }
  return replayed;
}

/** Returns the columns of each table, in its order. */
function describeAll(
  fold: HapiFold,
  recordings: readonly Recording[],
  tables: ReturnType<typeof followedTables>,
): Map<string, readonly string[]> {
  const all: RecordedChange[] = recordings.flatMap(({ transactions }) => transactions.flat());
  const found = new Map<string, readonly string[]>();
  for (const [oid, followed] of tables.entries()) {
    const { table, schema } = followed;
    const first = all.find((change) => change.table === table);
    const columns = Object.keys(first?.old ?? first?.new ?? {});
    if (columns.length === 0) continue;
    found.set(table, columns);
    fold.describe({ oid, schema, table, fullIdentity: true, columns }, followed);
  }
  return found;
}

function tupleOf(columns: readonly string[], row: RecordedRow): Tuple {
  return columns.map((column) => {
    const value = row[column];
    return typeof value === 'string' ? Buffer.from(value) : value;
  });
}
