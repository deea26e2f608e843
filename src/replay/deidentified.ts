import { HeadwaterError } from '../base/errors.ts';
import type { Deidentifier } from '../deidentify/deidentifier.ts';
import { compileSource, identityOf } from '../deidentify/source.ts';
import type { DeidentifierSource } from '../deidentify/source.ts';
import { canonicalJson } from '../events/request-seal.ts';
import type { GrantDeidentification } from '../events/grant.ts';
import { MANY_PATIENTS } from '../events/resource-change.ts';
import type { ResourceChangeCodec } from '../events/resource-change-codec.ts';
import type { Task } from '../events/tasks.ts';
import type { Shape } from './shape.ts';

/** Returns a line that reports a resource, with the de-identified key; undefined if the line would name nothing. */
export type Rename = (kind: 'deleted' | 'error', key: string, resource: object) => object | undefined;

/** The changes to the lines of a task whose resources are de-identified. */
export interface DeidentifiedRun {
  readonly shape: (shape: Shape) => Shape;
  readonly rename: Rename;
}

interface Tools {
  readonly log: { readonly codec: Pick<ResourceChangeCodec, 'decode'> };
  readonly deidentification?: readonly DeidentifierSource[] | undefined;
}

/**
 * Returns how a task de-identifies; undefined if its grant asks for none.
 * @throws unsupported if this process has another configuration or other keys than the gateway had at the kick-off
 */
export async function deidentifiedRun(task: Task, tools: Tools): Promise<DeidentifiedRun | undefined> {
  const { rights } = task.filter;
  if (!rights?.grant.deidentify) return undefined;
  if (task.organized) throw new HeadwaterError('unsupported', 'organized output cannot be de-identified');
  const source = sourceOf(rights.grant.deidentify, tools.deidentification ?? []);
  const deidentifier = await compileSource(source);
  const at = Number(rights.time);
  return {
    shape: (shape) => deidentifiedShape(shape, deidentifier, { codec: tools.log.codec, at }),
    rename: (kind, key, resource) => renamed(deidentifier.keyOf(key, at), { kind, key, resource }),
  };
}

function sourceOf(wanted: GrantDeidentification, sources: readonly DeidentifierSource[]): DeidentifierSource {
  const source = sources.find(({ name }) => name === wanted.name);
  if (source && canonicalJson(identityOf(source)) === canonicalJson(wanted)) return source;
  throw new HeadwaterError(
    'unsupported',
    `deidentification.${wanted.name}: ${source ? 'the configuration or its keys are not those of the kick-off' : 'HEADWATER_ACCESS_FILE of this worker has none of this name'}`,
  );
}

function deidentifiedShape(
  shape: Shape,
  deidentifier: Deidentifier,
  { codec, at }: { readonly codec: Pick<ResourceChangeCodec, 'decode'>; readonly at: number },
): Shape {
  return (lines, change) =>
    shape(
      {
        line: (data, start, end) => {
          const patients = codec.decode(change.bytes).patients.filter((id) => id !== MANY_PATIENTS);
          const json = deidentifier.apply(data.toString('utf8', start, end), { at, patients });
          const line = Buffer.from(json);
          lines.line(line, 0, line.length);
        },
      },
      change,
    );
}

/** A deletion without an id would delete nothing. An error names the type at least. */
function renamed(
  to: string | undefined,
  {
    kind,
    key,
    resource,
  }: { readonly kind: 'deleted' | 'error'; readonly key: string; readonly resource: object },
): object | undefined {
  if (to === undefined && kind === 'deleted') return undefined;
  const [type = ''] = key.split('/');
  const text = JSON.stringify(resource).replaceAll(JSON.stringify(key).slice(1, -1), () => to ?? type);
  return JSON.parse(text) as object;
}
