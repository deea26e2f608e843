import kafkajs from 'kafkajs';
import type { AclEntry } from 'kafkajs';
import type { Brokers } from './brokers.ts';

// kafkajs exports its enums only as types.
const KINDS = { topic: 2, group: 3, cluster: 4, 'transactional id': 5 } as const;
const RIGHTS: Readonly<Record<string, number>> = {
  Read: 3,
  Write: 4,
  Create: 5,
  Delete: 6,
  Alter: 7,
  Describe: 8,
  DescribeConfigs: 10,
  AlterConfigs: 11,
  IdempotentWrite: 12,
};
const LITERAL = 3;
const PREFIXED = 4;
const ALLOW = 3;

export interface Grant {
  readonly kind: keyof typeof KINDS;
  readonly rights: readonly string[];
}

/** Gives a user rights on everything whose name begins with the prefix, or on the cluster. */
export async function grant(
  brokers: Brokers,
  user: string,
  prefix: string,
  grants: readonly Grant[],
): Promise<void> {
  const acl = grants.flatMap(({ kind, rights }) =>
    rights.map((right) => ({
      principal: `User:${user}`,
      host: '*',
      permissionType: ALLOW,
      operation: RIGHTS[right],
      resourceType: KINDS[kind],
      resourceName: kind === 'cluster' ? 'kafka-cluster' : prefix,
      resourcePatternType: kind === 'cluster' ? LITERAL : PREFIXED,
    })),
  ) as unknown as AclEntry[];
  const kafka = new kafkajs.Kafka({ brokers: [...brokers.answering], logLevel: kafkajs.logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  try {
    await admin.createAcls({ acl });
  } finally {
    await admin.disconnect();
  }
}
