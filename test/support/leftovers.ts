import kafkajs from 'kafkajs';
import pg from 'pg';
import { schemaOf } from '../../src/jobs/schema.ts';
import type { StackAddresses } from '../../src/stack/stack.ts';

/** Removes the topics, the registry's subjects and the job tables of installations that ran on the shared servers. */
export async function removeInstallations(
  { kafkaBrokers, registryUrl, postgresUrl }: StackAddresses,
  prefixes: readonly string[],
): Promise<void> {
  await removeTopics(kafkaBrokers, prefixes);
  for (const prefix of prefixes) await removeSubjects(registryUrl, prefix);
  const client = new pg.Client({ connectionString: postgresUrl });
  await client.connect();
  try {
    for (const prefix of prefixes) await client.query(`DROP SCHEMA IF EXISTS "${schemaOf(prefix)}" CASCADE`);
  } finally {
    await client.end();
  }
}

/** Removes the subjects of one installation from the schema registry. */
export async function removeSubjects(registryUrl: string, prefix: string): Promise<void> {
  const subjects = (await (await fetch(`${registryUrl}/subjects`)).json()) as string[];
  for (const subject of subjects.filter((name) => name.startsWith(prefix)))
    await fetch(`${registryUrl}/subjects/${encodeURIComponent(subject)}`, { method: 'DELETE' });
}

async function removeTopics(brokers: readonly string[], prefixes: readonly string[]): Promise<void> {
  const admin = new kafkajs.Kafka({ brokers: [...brokers], logLevel: kafkajs.logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const isOurs = (topic: string): boolean => prefixes.some((prefix) => topic.startsWith(`${prefix}.`));
    const topics = (await admin.listTopics()).filter(isOurs);
    if (topics.length > 0) await admin.deleteTopics({ topics });
  } finally {
    await admin.disconnect();
  }
}
