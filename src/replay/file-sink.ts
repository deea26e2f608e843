import { HeadwaterError } from '../base/errors.ts';
import type { ChangePeek } from '../events/resource-change-codec.ts';
import { operationOutcome } from '../fhir/operation-outcome.ts';
import type { FileSet } from '../files/file-set.ts';
import type { Sink } from './replay-range.ts';
import type { Lines, Shape } from './shape.ts';

/** Into the files of a type: what is returned as it is shaped, what is reported as it is. */
export function fileSink(files: FileSet, shape: Shape): Sink {
  return {
    returned: (change, key) => {
      const problem = shaped(shape, files.of('output'), change);
      if (problem !== undefined) report(files, 'error', unshaped(key, problem));
    },
    reported: (kind, _, resource) => report(files, kind, resource),
    drain: () => files.drain(),
  };
}

/** Adds what a resource becomes; or says why it cannot become that, and the others go on. */
export function shaped(shape: Shape, lines: Lines, change: ChangePeek): string | undefined {
  try {
    shape(lines, change);
    return undefined;
  } catch (error) {
    if (error instanceof HeadwaterError && error.code === 'corrupt') return error.message;
    throw error;
  }
}

export function unshaped(key: string, problem: string): object {
  return operationOutcome('error', 'exception', `${key} is not in this export: ${problem}`);
}

export function report(files: FileSet, kind: 'deleted' | 'error', resource: object): void {
  const line = Buffer.from(JSON.stringify(resource));
  files.of(kind).line(line, 0, line.length);
}
