import { COMMON_PROPERTIES, TEST_PROPERTIES } from '../../src/stack/local/kafka.ts';

/** The ids of the brokers of a cluster, which number their nodes as well. */
export const BROKER_IDS = [1, 2, 3] as const;
export type BrokerId = (typeof BROKER_IDS)[number];

/** A user of the listeners that ask for a login. */
export interface BrokerUser {
  readonly name: string;
  readonly password: string;
}

/** Adds a listener with SASL over plain text and one with SASL over TLS. The plain listener stays, for the test itself. */
export interface Security {
  /** They log in with PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. */
  readonly users: readonly BrokerUser[];
  /** Life of a login in milliseconds: the broker ends the connection of a client that does not log in again. */
  readonly maxReauthMs?: number;
  /** Users have only the rights that ACLs give them. Without it, every user has all rights. */
  readonly authorize?: boolean;
}

export interface BrokerPorts {
  readonly plain: number;
  readonly controller: number;
  readonly sasl: number;
  readonly tls: number;
}

export interface ClusterLayout {
  /** Holds each broker's data folder and the key store. */
  readonly folder: string;
  readonly ports: Readonly<Record<BrokerId, BrokerPorts>>;
  readonly security: Security | undefined;
  /** More broker settings, or other values for those below. */
  readonly settings: Readonly<Record<string, string>>;
}

export const KEY_STORE_PASSWORD = 'of-a-test-and-nobody-else';

/** One node of three that is broker and controller: replication 3, and a write needs two copies. */
export function brokerProperties(id: BrokerId, layout: ClusterLayout): Record<string, string> {
  const { ports, folder, security } = layout;
  const own = ports[id];
  const listeners = {
    PLAINTEXT: own.plain,
    ...(security && { SASL_PLAINTEXT: own.sasl, SASL_SSL: own.tls }),
  };
  const addresses = Object.entries(listeners).map(([name, port]) => `${name}://127.0.0.1:${port}`);
  const voters = BROKER_IDS.map((node) => `${node}@127.0.0.1:${ports[node].controller}`);
  const protocols = ['CONTROLLER:PLAINTEXT', ...Object.keys(listeners).map((name) => `${name}:${name}`)];
  return {
    'process.roles': 'broker,controller',
    'node.id': String(id),
    'controller.quorum.voters': voters.join(),
    listeners: [...addresses, `CONTROLLER://127.0.0.1:${own.controller}`].join(),
    'advertised.listeners': addresses.join(),
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': protocols.join(),
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': dataFolder(id, folder),
    ...COMMON_PROPERTIES,
    ...TEST_PROPERTIES,
    'default.replication.factor': '3',
    'min.insync.replicas': '2',
    'offsets.topic.num.partitions': '6',
    'offsets.topic.replication.factor': '3',
    'transaction.state.log.num.partitions': '6',
    'transaction.state.log.replication.factor': '3',
    'transaction.state.log.min.isr': '2',
    'share.coordinator.state.topic.replication.factor': '3',
    'share.coordinator.state.topic.min.isr': '2',
    // Only a test moves leaders.
    'auto.leader.rebalance.enable': 'false',
    'replica.lag.time.max.ms': '5000',
    'controlled.shutdown.retry.backoff.ms': '500',
    // Three brokers share the machine with everything else.
    'num.network.threads': '2',
    'num.io.threads': '4',
    'log.cleaner.dedupe.buffer.size': '8388608',
    ...(security && securityProperties(security, folder)),
    ...layout.settings,
  };
}

export function dataFolder(id: BrokerId, folder: string): string {
  return `${folder}/broker-${id}`;
}

export function keyStore(folder: string): string {
  return `${folder}/broker.p12`;
}

function securityProperties(security: Security, folder: string): Record<string, string> {
  const users = security.users.map(({ name, password }) => ` user_${name}="${password}"`);
  const plain = `org.apache.kafka.common.security.plain.PlainLoginModule required${users.join('')};`;
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
  const logins = ['sasl_plaintext', 'sasl_ssl'].flatMap((listener) => [
    [`listener.name.${listener}.plain.sasl.jaas.config`, plain],
    [`listener.name.${listener}.scram-sha-256.sasl.jaas.config`, scram],
    [`listener.name.${listener}.scram-sha-512.sasl.jaas.config`, scram],
    [`listener.name.${listener}.connections.max.reauth.ms`, String(security.maxReauthMs ?? 0)],
  ]);
  return {
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    ...(Object.fromEntries(logins) as Record<string, string>),
    'ssl.keystore.type': 'PKCS12',
    'ssl.keystore.location': keyStore(folder),
    'ssl.keystore.password': KEY_STORE_PASSWORD,
    ...(security.authorize === true && {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      // The users of the plain listener: the brokers themselves and the test.
      'super.users': 'User:ANONYMOUS',
    }),
  };
}
