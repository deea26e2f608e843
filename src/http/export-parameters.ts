import { bad, quoted } from '../base/bad-request.ts';
import { EXPORT_PARAMETERS } from '../events/export-parameter-table.ts';
import type { ExportParameter, ExportTarget, ParameterContext } from '../events/export-parameter-table.ts';
import { GivenParameter, Leniency } from '../events/given-parameter.ts';
import type { RawParameter } from '../events/given-parameter.ts';
import { EVERYTHING } from '../events/request.ts';
import type { ExportParameters } from '../events/request.ts';
import { parseInstant } from '../fhir/instant.ts';

export interface ParseOptions extends Pick<ParameterContext, 'binary' | 'containers' | 'references'> {
  /** `Prefer: handling=lenient`: ignores and reports each unsupported value that cannot widen whose data is returned. */
  readonly lenient: boolean;
}

/** The most bytes of all parameters together, since they are part of one record of the log. */
const MAX_BYTES = 7 * 2 ** 20;

const NAMES: readonly string[] = EXPORT_PARAMETERS.map(({ name }) => name);

/**
 * Checks the parameters of a request. Throws `bad-request` that names the first wrong one. With lenient handling, an unknown or
 * unsupported value becomes a warning, but never a value that says whose data, from when, or in which form.
 */
export function parseExportParameters(
  raw: readonly RawParameter[],
  target: ExportTarget,
  { lenient, ...options }: ParseOptions,
): ExportParameters {
  const leniency = new Leniency(lenient);
  ignoreUnknown(raw, leniency);
  const { level, group } = target;
  let parameters: ExportParameters = { ...EVERYTHING, level, group, binary: options.binary };
  for (const row of EXPORT_PARAMETERS as readonly ExportParameter[]) {
    const value = row.read(new GivenParameter(row.name, raw, leniency), {
      ...options,
      target,
      read: parameters,
    });
    parameters = { ...parameters, [row.field]: value };
  }
  parameters = { ...parameters, warnings: leniency.warnings };
  checkTogether(parameters);
  return parameters;
}

function ignoreUnknown(raw: readonly RawParameter[], leniency: Leniency): void {
  for (const name of new Set(raw.map((parameter) => parameter.name))) {
    if (NAMES.includes(name)) continue;
    leniency.ignore(name, `parameter ${quoted(name)} is not supported; those that are: ${NAMES.join(', ')}`);
  }
}

function checkTogether(parameters: ExportParameters): void {
  const { since, until } = parameters;
  if (since !== undefined && until !== undefined && (parseInstant(since) ?? 0) >= (parseInstant(until) ?? 0))
    throw bad('_until', `_until: ${quoted(until)} is not later than _since, ${quoted(since)}`);
  const bytes = Buffer.byteLength(JSON.stringify(parameters));
  if (bytes > MAX_BYTES)
    throw bad(
      'parameter',
      `all parameters together have ${bytes} bytes, ${MAX_BYTES} are possible; ask for less`,
    );
}
