import type { ChangePeek } from '../events/resource-change-codec.ts';
import type { FileSet } from '../files/file-set.ts';
import type { Rename } from './deidentified.ts';
import { problemOf } from './problem.ts';
import type { LeftOut, Sink } from './replay-range.ts';
import type { Lines, Shape } from './shape.ts';

/** Returns a sink that writes into the files of a type: returned resources in their shape, reported lines as they are. */
export function fileSink(files: FileSet, shape: Shape, rename?: Rename): Sink {
  return {
    returned: (change) => shaped(shape, files.of('output'), change),
    returns: (change) => shaped(shape, NOWHERE, change) === undefined,
    reported: (kind, key, resource) => {
      const renamed = rename ? rename(kind, key, resource) : resource;
      if (renamed !== undefined) report(files, kind, renamed);
    },
    drain: () => files.drain(),
  };
}

export const NOWHERE: Lines = { line: () => undefined };

/** Adds the shaped resource. If that fails, returns the reason, so that the other resources go on. */
export function shaped(shape: Shape, lines: Lines, change: ChangePeek): LeftOut | undefined {
  try {
    return shape(lines, change) ? undefined : { problem: undefined };
  } catch (error) {
    return { problem: problemOf('not-shaped', error) };
  }
}

export function report(files: FileSet, kind: 'deleted' | 'error', resource: object): void {
  const line = Buffer.from(JSON.stringify(resource));
  files.of(kind).line(line, 0, line.length);
}
