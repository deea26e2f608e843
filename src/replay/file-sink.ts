import type { FileSet } from '../files/file-set.ts';
import type { Sink } from './replay-range.ts';
import type { Shape } from './shape.ts';

/** Into the files of a type: what is returned as it is shaped, what is reported as it is. */
export function fileSink(files: FileSet, shape: Shape): Sink {
  return {
    returned: (change) => shape(files.of('output'), change),
    reported: (kind, _, resource) => report(files, kind, resource),
    drain: () => files.drain(),
  };
}

export function report(files: FileSet, kind: 'deleted' | 'error', resource: object): void {
  const line = Buffer.from(JSON.stringify(resource));
  files.of(kind).line(line, 0, line.length);
}
