import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, createWriteStream, openSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { headwaterDirectory } from '../src/stack/contract.ts';
import { findJava, onPath } from '../src/stack/local/java.ts';
import { kafkaTool, toolFolder } from '../src/stack/local/tools.ts';

const COPY = 'COPY (SELECT body FROM resource) TO STDOUT';

/** How `copyBodies` does it on this machine. */
export function copyMethod(): string {
  return onPath('psql', process.env) === undefined
    ? 'pg-copy-streams to /dev/null (no psql here)'
    : 'psql to /dev/null, its start included';
}

/** Reads every body from PostgreSQL into /dev/null. Returns seconds. */
export async function copyBodies(url: string, signal: AbortSignal): Promise<number> {
  const begun = performance.now();
  const psql = onPath('psql', process.env);
  await (psql === undefined ? copyByClient(url) : copyByPsql(psql, url, signal));
  return (performance.now() - begun) / 1000;
}

async function copyByPsql(psql: string, url: string, signal: AbortSignal): Promise<void> {
  const { username, password, hostname, port, pathname } = new URL(url);
  const out = openSync('/dev/null', 'w');
  try {
    await run(
      psql,
      ['-X', '-q', '-h', hostname, '-p', port, '-U', username, '-d', pathname.slice(1), '-c', COPY],
      {
        stdout: out,
        env: { ...process.env, PGPASSWORD: password },
        signal,
      },
    );
  } finally {
    closeSync(out);
  }
}

async function copyByClient(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await pipeline(client.query(copyTo(COPY)), createWriteStream('/dev/null'));
  } finally {
    await client.end();
  }
}

export interface Consumed {
  readonly records: number;
  /** Of keys and values, uncompressed. */
  readonly bytes: number;
  /** Between the assignment of the partitions and the last record, as the tool itself reports: no start of a JVM in it. */
  readonly seconds: number;
}

/** Kafka's own ConsumerPerformance on all topics that fit, with Kafka's defaults, reading what is committed. */
export async function consumeTopics(options: {
  readonly brokers: readonly string[];
  /** A Java regular expression. */
  readonly topics: string;
  /** As many as there are: the tool ends when it has them. */
  readonly records: number;
  readonly signal: AbortSignal;
}): Promise<Consumed> {
  const { brokers, topics, records, signal } = options;
  const java = await findJava(process.env, 21);
  const jars = join(toolFolder(headwaterDirectory, kafkaTool), '*');
  const tool = ['-Xmx512m', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error', '-cp', jars];
  const what = [
    '--bootstrap-server',
    brokers.join(','),
    '--include',
    topics,
    '--num-records',
    String(records),
  ];
  const how = ['--group', `bench-${randomUUID()}`, '--timeout', '20000'];
  const committed = ['--command-property', 'isolation.level=read_committed'];
  const output = await run(
    java.path,
    [...tool, 'org.apache.kafka.tools.ConsumerPerformance', ...what, ...how, ...committed],
    { stdout: 'pipe', env: process.env, signal },
  );
  const consumed = parseConsumerPerformance(output);
  if (consumed.records < records)
    throw new Error(`Kafka's consumer read ${consumed.records} of ${records} records: ${output}`);
  return consumed;
}

/** Of its table with a heading line, in which a MB is 2^20 bytes. */
export function parseConsumerPerformance(output: string): Consumed {
  const lines = output.trim().split('\n');
  const at = lines.findLastIndex((line) => line.includes('data.consumed.in.MB'));
  const names = (lines[at] ?? '').split(',').map((name) => name.trim());
  const values = (lines[at + 1] ?? '').split(',').map((value) => value.trim());
  const value = (name: string): number => Number(values[names.indexOf(name)]);
  const consumed = {
    records: value('data.consumed.in.nMsg'),
    bytes: Math.round(value('data.consumed.in.MB') * 1024 * 1024),
    seconds: value('fetch.time.ms') / 1000,
  };
  if (Object.values(consumed).some(Number.isNaN)) throw new Error(`ConsumerPerformance said: ${output}`);
  return consumed;
}

/** Runs a program to its end. Throws its error output if it fails. */
async function run(
  file: string,
  parameters: readonly string[],
  options: {
    readonly stdout: number | 'pipe';
    readonly env: NodeJS.ProcessEnv;
    readonly signal: AbortSignal;
  },
): Promise<string> {
  const { stdout, env, signal } = options;
  const child = spawn(file, parameters, { stdio: ['ignore', stdout, 'pipe'], env, signal });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  const [output, complaint, code] = await Promise.all([
    child.stdout ? text(child.stdout) : '',
    child.stderr ? text(child.stderr) : '',
    ended,
  ]);
  if (code !== 0)
    throw new Error(`${file} ended with ${code}: ${complaint.slice(-500)}${output.slice(-500)}`);
  return output;
}
