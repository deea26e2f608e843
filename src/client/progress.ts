import { Presets, SingleBar } from 'cli-progress';

/** Shows progress to a person. */
export interface ProgressLine {
  /** @param fraction 0 to 1 */
  update(fraction: number, text: string): void;
  end(text: string): void;
}

export type ProgressOutput = NodeJS.WritableStream & { readonly isTTY?: boolean };

/** A bar on a terminal; elsewhere a line for every tenth. */
export function progressLine(title: string, output: ProgressOutput = process.stderr): ProgressLine {
  return output.isTTY === true ? bar(title, output) : lines(title, output);
}

function bar(title: string, stream: ProgressOutput): ProgressLine {
  const format = `${title} {bar} {percentage}% {text}`;
  const shown = new SingleBar(
    { format, stream, hideCursor: true, barsize: 30, fps: 10 },
    Presets.shades_classic,
  );
  shown.start(100, 0, { text: '' });
  return {
    update: (fraction, text) => {
      shown.update(Math.floor(fraction * 100), { text });
    },
    end: (text) => {
      shown.update(100, { text });
      shown.stop();
    },
  };
}

function lines(title: string, output: ProgressOutput): ProgressLine {
  let shown = -1;
  return {
    update: (fraction, text) => {
      const tenth = Math.floor(fraction * 10);
      if (tenth <= shown) return;
      shown = tenth;
      output.write(`${title} ${String(Math.floor(fraction * 100))}% ${text}\n`);
    },
    end: (text) => {
      output.write(`${title} ${text}\n`);
    },
  };
}
