import type { StartedTestContainer } from 'testcontainers';
import { messageOf } from '../../base/errors.ts';
import type { Component, Stack, StackOptions } from '../contract.ts';
import { Interruption } from '../interruption.ts';
import { freePorts, type StackPorts } from '../ports.ts';
import { probesOf, waitForAddresses, waitUntilReady } from '../ready.ts';
import { composeAddresses } from './compose.ts';

/** testcontainers is a dependency of the tests only and loads slowly, so only a test stack loads it. */
const load = () => import('testcontainers');

type Containers = Awaited<ReturnType<typeof load>>;

const START_TIMEOUT_MS = 300_000;

/** The images of compose/compose.yaml; a test compares them. */
export const IMAGES: Record<Component, string> = {
  postgres: 'postgres:18.4',
  kafka: 'apache/kafka:4.2.0',
  registry: 'apicurio/apicurio-registry:3.3.3',
};

const POSTGRES_SETTINGS = [
  'wal_level=logical',
  'max_wal_senders=16',
  'max_replication_slots=16',
  'track_commit_timestamp=on',
  'max_connections=200',
  'fsync=off',
];

/** Returns why containers cannot be used on this machine, or undefined if they can. */
export async function dockerAnswers(): Promise<string | undefined> {
  try {
    await (await load()).getContainerRuntimeClient();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** Runs one container per server for one test run. testcontainers removes the containers of a killed run. */
export async function startContainerStack(options: StackOptions): Promise<Stack> {
  const containers = await load();
  const ports = await freePorts(options.ports);
  const addresses = composeAddresses(ports);
  const interruption = new Interruption(options);
  const started = new Map<Component, StartedTestContainer>();
  const stop = async (): Promise<void> => {
    await Promise.all([...started.values()].map((container) => container.stop({ removeVolumes: true })));
    started.clear();
    interruption.ended();
  };
  const begin = async (component: Component): Promise<void> => {
    options.report(`Starting ${IMAGES[component]} …`);
    started.set(component, await containerOf(component, containers, ports).start());
  };
  const results = await Promise.allSettled([begin('postgres'), begin('kafka'), begin('registry')]);
  const failure = results.find((result) => result.status === 'rejected');
  try {
    if (failure) throw failure.reason;
    await waitForAddresses(
      addresses,
      AbortSignal.any([interruption.signal, AbortSignal.timeout(START_TIMEOUT_MS)]),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  interruption.started(stop);
  return {
    kind: 'docker',
    addresses,
    stop,
    restart: async (component, how) => {
      const container = started.get(component);
      if (!container) return;
      if (how === 'kill') {
        const client = await containers.getContainerRuntimeClient();
        const engine = client.container.getById(container.getId());
        await engine.kill();
        await engine.start();
      } else {
        await container.restart({ timeout: 20_000 });
      }
      await waitUntilReady(component, probesOf(addresses)[component], AbortSignal.timeout(START_TIMEOUT_MS));
    },
    pids: () => Promise.resolve({}),
  };
}

/** Fixed host ports, because a restarted container would get other random ports, and Kafka must advertise its port. */
function containerOf(component: Component, { GenericContainer }: Containers, ports: StackPorts) {
  const container = new GenericContainer(IMAGES[component]).withStartupTimeout(START_TIMEOUT_MS);
  switch (component) {
    case 'postgres':
      return container
        .withExposedPorts({ container: 5432, host: ports.postgres })
        .withEnvironment({
          POSTGRES_USER: 'headwater',
          POSTGRES_PASSWORD: 'headwater',
          POSTGRES_DB: 'headwater',
        })
        .withCommand(['postgres', ...POSTGRES_SETTINGS.flatMap((setting) => ['-c', setting])]);
    case 'kafka':
      return container
        .withExposedPorts({ container: 9092, host: ports.kafka })
        .withEnvironment(kafkaContainerEnvironment(ports.kafka));
    case 'registry':
      // A file, so that a restarted container keeps its schemas.
      return container.withExposedPorts({ container: 8080, host: ports.registry }).withEnvironment({
        APICURIO_DATASOURCE_URL: 'jdbc:h2:file:/tmp/registry;WRITE_DELAY=0;DB_CLOSE_ON_EXIT=FALSE',
      });
  }
}

/** The settings of src/stack/local/kafka.ts, as the apache/kafka image takes them. */
export function kafkaContainerEnvironment(port: number): Record<string, string> {
  return {
    KAFKA_NODE_ID: '1',
    KAFKA_PROCESS_ROLES: 'broker,controller',
    KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
    KAFKA_LISTENERS: 'PLAINTEXT://:9092,CONTROLLER://:9093',
    KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${String(port)}`,
    KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    KAFKA_INTER_BROKER_LISTENER_NAME: 'PLAINTEXT',
    KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
    KAFKA_MESSAGE_MAX_BYTES: '33554432',
    KAFKA_REPLICA_FETCH_MAX_BYTES: '33554432',
    KAFKA_LOG_CLEANER_BACKOFF_MS: '500',
    KAFKA_LOG_RETENTION_MS: '-1',
    KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
    KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS: '5',
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS: '5',
    KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
    KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR: '1',
    KAFKA_HEAP_OPTS: '-Xms256m -Xmx512m',
  };
}
