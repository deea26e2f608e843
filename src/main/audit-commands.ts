import { pino } from 'pino';
import { jobsThatHeld } from '../audit/disclosures.ts';
import { verifyChain } from '../audit/verify.ts';
import { HeadwaterError } from '../base/errors.ts';
import { offset } from '../base/positions.ts';
import { readSettings } from '../config/settings.ts';
import type { Settings } from '../config/settings.ts';
import type { AuditRecord, Disclosed } from '../events/audit.ts';
import type { Codec } from '../events/schema-ids.ts';
import { isId } from '../fhir/reference.ts';
import { readAnnounced } from '../jobs/announced.ts';
import { localSettings } from './local.ts';
import { LogAccess } from './log-access.ts';
import { stopSignal } from './stop-signal.ts';

interface Json {
  readonly json?: boolean;
}

/** `headwater audit verify`: 0 if the chain of the audit log is whole, else 1. */
export function auditVerify(options: Json): Promise<number> {
  return withLog(async ({ log, settings, signal }) => {
    const { control } = await log.codecs();
    const announced = { reader: log.reader, topic: log.names.announced, codec: control.announced };
    const { audit: head } = await readAnnounced(announced, signal); // before the records, which may grow meanwhile
    const records = stored(log, { topic: log.names.audit, codec: control.audit, since: 0 }, signal);
    const { first, last, problems } = await verifyChain(
      records,
      head,
      Date.now() - settings.auditRetentionMs,
    );
    if (options.json) print(JSON.stringify({ first, last, problems }));
    else if (problems.length > 0) problems.forEach(print);
    else
      print(
        last === 0 ? 'There are no records yet.' : `Records ${String(first)} to ${String(last)} are whole.`,
      );
    return problems.length === 0 ? 0 : 1;
  });
}

export interface ListOptions {
  /** An instant or a date. */
  readonly since?: string;
  readonly kind?: string;
  readonly job?: string;
}

/** `headwater audit list`: the AuditEvents, one a line. */
export function auditList(options: ListOptions): Promise<number> {
  const since = timeOf(options.since);
  return withLog(async ({ log, signal }) => {
    const { control } = await log.codecs();
    for await (const { key, record } of stored(
      log,
      { topic: log.names.audit, codec: control.audit, since },
      signal,
    )) {
      const { at, kind, fhir } = record;
      if (at < since || (options.kind ?? kind) !== kind || (options.job ?? key) !== key) continue;
      print(fhir.toString());
    }
    return 0;
  });
}

/** `headwater audit disclosures`: the exports that held data of a patient. */
export function auditDisclosures(
  options: Json & { readonly patient: string; readonly since?: string },
): Promise<number> {
  const since = timeOf(options.since);
  const patient = options.patient.replace(/^Patient\//, '');
  if (!isId(patient))
    throw new HeadwaterError('bad-request', `--patient ${options.patient}: write the id of a patient`);
  return withLog(async ({ log, settings, signal }) => {
    const { control } = await log.codecs();
    // The tasks of an export end before the export does.
    const from = Math.max(0, since - settings.maxExportMs);
    const disclosed = stored(
      log,
      { topic: log.names.disclosures, codec: control.disclosed, since: from },
      signal,
    );
    const jobs = await jobsThatHeld(patient, valuesOf<Disclosed>(disclosed));
    let found = 0;
    for await (const { key, record } of stored(
      log,
      { topic: log.names.audit, codec: control.audit, since },
      signal,
    )) {
      const held = jobs.get(key);
      if (held === undefined || record.kind !== 'export.completed' || record.at < since) continue;
      found++;
      print(options.json ? record.fhir.toString() : lineOf(record, key, held));
    }
    if (!options.json && found === 0) print(`No export held data of Patient/${patient}.`);
    return 0;
  });
}

interface AuditEvent {
  readonly agent: readonly [
    {
      readonly who: { readonly display?: string; readonly identifier?: { readonly value: string } };
      readonly role?: readonly { readonly text: string }[];
    },
  ];
  readonly entity?: readonly [
    { readonly detail?: readonly { readonly type: string; readonly valueString: string }[] },
  ];
}

function lineOf({ at, fhir }: AuditRecord, jobId: string, held: 'named' | 'all'): string {
  const { agent, entity } = JSON.parse(fhir.toString()) as AuditEvent;
  const [{ who, role = [] }] = agent;
  const details = entity?.[0].detail ?? [];
  const of = (prefix: string): string =>
    details
      .flatMap(({ type, valueString }) =>
        type.startsWith(prefix) ? [`${type.slice(prefix.length)} ${valueString}`] : [],
      )
      .join(', ');
  const client = who.identifier?.value ?? who.display ?? '';
  const roles = role.map(({ text }) => text).join(', ');
  const why = held === 'all' ? 'it held every patient' : 'it held this patient';
  return `${new Date(at).toISOString()}  ${jobId}  ${client}${roles === '' ? '' : ` as ${roles}`}: ${why}; ${of('count:')}`;
}

interface Stored<T> {
  readonly key: string;
  readonly record: T;
  readonly value: Buffer;
}

/** The records of a topic from a time on (ms since 1970) to its present end, oldest first in each partition. */
async function* stored<T>(
  { reader }: LogAccess,
  {
    topic,
    codec,
    since,
  }: { readonly topic: string; readonly codec: Pick<Codec<T>, 'decode'>; readonly since: number },
  signal: AbortSignal,
): AsyncIterable<Stored<T>> {
  const starts = await reader.offsetsAt(topic, since);
  for (const [partition, to] of (await reader.ends(topic)).entries()) {
    const range = { topic, partition, from: starts[partition] ?? offset(0), to };
    for await (const records of reader.read(range, signal))
      for (const { key, value } of records) yield { key: key.toString(), record: codec.decode(value), value };
  }
}

async function* valuesOf<T>(records: AsyncIterable<Stored<T>>): AsyncIterable<T> {
  for await (const { record } of records) yield record;
}

async function withLog(
  work: (with_: { log: LogAccess; settings: Settings; signal: AbortSignal }) => Promise<number>,
): Promise<number> {
  const settings = readSettings([], await localSettings());
  const log = new LogAccess(settings, pino({ level: 'warn' }, process.stderr));
  try {
    return await work({ log, settings, signal: stopSignal() });
  } finally {
    await log.close();
  }
}

/** ms since 1970; 0 if the option is absent. */
function timeOf(since: string | undefined): number {
  if (since === undefined) return 0;
  const time = Date.parse(since);
  if (Number.isNaN(time))
    throw new HeadwaterError('bad-request', `--since ${since}: write a date or an instant`);
  return time;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
