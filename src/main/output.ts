import type { ExportProgress, ExportResult } from '../client/export-client.ts';
import type { LoadProgress, LoadResult } from '../client/load.ts';
import { progressLine } from '../client/progress.ts';

/** `12.3 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Prints megabytes, or kilobytes for a size that would be 0.0 MB. */
function sizeOf(bytes: number): string {
  return bytes < 100_000 ? `${(bytes / 1e3).toFixed(1)} kB` : megabytes(bytes);
}

export function loadProgress() {
  const line = progressLine('load');
  return {
    update: (progress: LoadProgress): void => {
      const { fraction, rows, rowsPerSecond, bytesPerSecond } = progress;
      line.update(
        fraction,
        `${rows} resources, ${Math.round(rowsPerSecond)}/s, ${megabytes(bytesPerSecond)}/s`,
      );
    },
    end: ({ rows, bytes, seconds }: LoadResult): void =>
      line.end(`${rows} resources, ${megabytes(bytes)}, ${seconds.toFixed(1)} s`),
  };
}

export function printLoad({ files, rows, changed, bytes, seconds }: LoadResult): void {
  process.stdout.write(
    `${rows} resources (${changed} new or different), ${megabytes(bytes)} of ${files} files in ${seconds.toFixed(1)} s\n`,
  );
}

/** A bar for the export and one for the downloads. */
export function exportProgress() {
  let exporting: ReturnType<typeof progressLine> | undefined;
  let downloading: ReturnType<typeof progressLine> | undefined;
  return {
    update: (progress: ExportProgress): void => {
      if (progress.stage === 'accepted') return;
      if (progress.stage === 'running') {
        exporting ??= progressLine('export');
        exporting.update(progress.percent / 100, progress.text);
        return;
      }
      exporting?.end('done');
      exporting = undefined;
      downloading ??= progressLine('download');
      const { files, filesDone, bytes, bytesTotal } = progress;
      const fraction = bytesTotal ? bytes / bytesTotal : filesDone / Math.max(1, files);
      downloading.update(Math.min(1, fraction), `${filesDone} of ${files} files, ${megabytes(bytes)}`);
    },
    end: (): void => {
      exporting?.end('done');
      downloading?.end('verified');
    },
  };
}

export function printExport(
  { statusUrl, manifest, files }: ExportResult,
  directory: string | undefined,
): void {
  const lines = [`transactionTime ${manifest.transactionTime}`, `status          ${statusUrl}`];
  for (const kind of ['output', 'deleted', 'error'] as const) {
    for (const file of manifest[kind]) {
      const bytes = file.extension?.bytes;
      const size = bytes === undefined ? '' : sizeOf(bytes).padStart(12);
      lines.push(
        `${kind.padEnd(8)}${(file.type ?? '').padEnd(28)}${String(file.count ?? '').padStart(10)}${size}`,
      );
    }
  }
  if (directory !== undefined) lines.push(`${files.length} files in ${directory}, each verified`);
  process.stdout.write(`${lines.join('\n')}\n`);
}
