import type pg from 'pg';
import { until } from '../../support/until.ts';
import type { HapiAnswer, HapiServer } from './hapi-server.ts';
import type { HapiOperation } from './operations.ts';
import { WalRecorder } from './wal-recorder.ts';
import type { RecordedChange } from './wal-recorder.ts';

/** What one operation wrote, and how HAPI answers afterwards. */
export interface Recording {
  readonly name: string;
  readonly request: string;
  /** HTTP status of the operation. */
  readonly status: number;
  readonly transactions: readonly (readonly RecordedChange[])[];
  /** HAPI's answer to a GET of each resource. The body is text where the status is 200, else empty. */
  readonly answers: Readonly<Record<string, HapiAnswer>>;
}

/** Runs the operations one after the other. Throws if HAPI refuses one. */
export async function record(
  server: HapiServer,
  client: pg.Client,
  operations: readonly HapiOperation[],
): Promise<Recording[]> {
  const recorder = await WalRecorder.start(client);
  const recordings: Recording[] = [];
  for (const { name, request, reads } of operations) {
    const { method, path, resource, headers } = request;
    const { status, body } = await server.request(method, path, resource, headers);
    if (status >= 300) throw new Error(`HAPI answers "${name}" with ${status}: ${body.slice(0, 600)}`);
    if (path.includes('_expunge=')) await allJobs(client);
    const answers: Record<string, HapiAnswer> = {};
    for (const read of reads) {
      const answer = await server.request('GET', read);
      answers[read] = answer.status === 200 ? answer : { status: answer.status, body: '' };
    }
    const transactions = await recorder.take();
    recordings.push({ name, request: `${method} /${path}`, status, transactions, answers });
  }
  return recordings;
}

/** The kinds of changes of each transaction in their order, each kind once in a row: `insert hfj_res_ver, update hfj_resource`. */
export function orderOf({ transactions }: Recording): string[] {
  return transactions.map((changes) => {
    const kinds = changes.map(({ op, table }) => `${op} ${table}`);
    return kinds.filter((kind, i) => kind !== kinds[i - 1]).join(', ');
  });
}

/** Resolves when HAPI has done all of its batch jobs. */
async function allJobs(client: pg.Client): Promise<void> {
  await until('the jobs of HAPI to end', async () => {
    const { rows } = await client.query<{ all: boolean | null }>(
      "SELECT bool_and(stat = 'COMPLETED') AS all FROM bt2_job_instance",
    );
    return rows[0]?.all === true;
  });
}

/** JSON with one change a line. */
export function textOf(recordings: readonly Recording[]): string {
  const line = (value: unknown): string => JSON.stringify(value);
  const list = (lines: readonly string[], indent: string): string =>
    lines.length === 0 ? '[]' : `[\n${indent}  ${lines.join(`,\n${indent}  `)}\n${indent}]`;
  const text = ({ transactions, answers, ...rest }: Recording): string => {
    const changes = transactions.map((one) => list(one.map(line), '      '));
    const head = line(rest).slice(1, -1);
    return `{\n    ${head},\n    "answers": ${line(answers)},\n    "transactions": ${list(changes, '    ')}\n  }`;
  };
  return `${list(recordings.map(text), '')}\n`;
}
