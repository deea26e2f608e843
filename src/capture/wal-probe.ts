import type pg from 'pg';
import { sleep } from '../base/clock.ts';
import { parseLsn } from '../base/positions.ts';
import type { Lsn } from '../base/positions.ts';
import type { CaptureLag } from './capture-lag.ts';
import type { Source } from './source.ts';

/** Pause between two probes, in ms. */
const INTERVAL = 1_000;

/**
 * Asks the source every second where its log ends, until the signal fires. A stream that stands still does not show that. Errors are
 * ignored here, because the stream meets them too.
 * @param onProbe called with the end of the log; asks the stream for the position that it has reached
 */
export async function probeWal(
  source: Pick<Source, 'catalogSession'>,
  { lag, onProbe }: { readonly lag: CaptureLag; readonly onProbe: (end: Lsn) => void },
  signal: AbortSignal,
): Promise<void> {
  let client: pg.Client | undefined;
  while (!signal.aborted) {
    try {
      client ??= await source.catalogSession();
      const { rows } = await client.query<{ lsn: string; now: string }>(
        'SELECT pg_current_wal_flush_lsn() AS lsn, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now',
      );
      const [row] = rows;
      if (row && !signal.aborted) {
        const end = parseLsn(row.lsn);
        lag.probed(end, Number(row.now));
        onProbe(end);
      }
    } catch {
      await client?.end().catch(() => undefined);
      client = undefined;
    }
    await sleep(INTERVAL, signal).catch(() => undefined);
  }
  await client?.end().catch(() => undefined);
}
