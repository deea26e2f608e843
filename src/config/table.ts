import { availableParallelism } from 'node:os';
import { ROLES } from './roles.ts';
import type { Role } from './roles.ts';
import { PRESETS } from './source-presets.ts';
import { storageUrl } from './storage-url.ts';
import {
  atMost,
  brokerList,
  byteSize,
  duration,
  list,
  oneOf,
  originList,
  pattern,
  pem,
  roleList,
  switched,
  text,
  url,
  urlList,
  wholeNumber,
} from './value-types.ts';
import type { ValueType } from './value-types.ts';

export interface Setting<T> {
  /** Name of the environment variable, without the prefix `HEADWATER_`. */
  readonly name: string;
  readonly type: ValueType<T>;
  readonly help: string;
  /** The default as an operator would write it, or a function of the other variables with its description. */
  readonly default:
    | string
    | { readonly words: string; readonly from: (read: (name: string) => string) => string }
    | undefined;
  /** The roles that cannot run without it. */
  readonly neededBy: readonly Role[];
  readonly secret: boolean;
}

type Extra = Partial<Pick<Setting<unknown>, 'default' | 'neededBy' | 'secret'>>;
type Given = Extra & { readonly default: NonNullable<Extra['default']> };
type Needed = Extra & { readonly neededBy: readonly Role[] };

/** The type of a setting's value: never undefined if the setting has a default or a role needs it. */
function setting<T>(name: string, type: ValueType<T>, help: string, extra: Given | Needed): Setting<T>;
function setting<T>(name: string, type: ValueType<T>, help: string, extra?: Extra): Setting<T | undefined>;
function setting<T>(name: string, type: ValueType<T>, help: string, extra: Extra = {}): Setting<T> {
  return {
    name,
    type,
    help,
    default: extra.default,
    neededBy: extra.neededBy ?? [],
    secret: extra.secret ?? false,
  };
}

const LOG_ROLES: readonly Role[] = ['capture', 'planner', 'worker', 'projector', 'janitor'];
const TYPES = list(/^[A-Z][A-Za-z]{1,63}$/, 'the name of a resource type');
const TENANTS = list(/^[^,]{1,200}$/, 'the name of a tenant');
const NAME = pattern(/^[a-z_][a-z0-9_]{0,62}$/, 'small letters, digits and _, at most 63');

/** All settings. The key is the name in the code. It ends with the unit if the value has another unit there. */
export const TABLE = {
  roles: setting('ROLES', roleList, 'What this process does.', { default: ROLES.join(',') }),
  logLevel: setting(
    'LOG_LEVEL',
    oneOf('debug', 'info', 'warn', 'error', 'silent'),
    'Least severe messages to log.',
    {
      default: 'info',
    },
  ),

  sourceUrl: setting(
    'SOURCE_URL',
    url('postgres:', 'postgresql:'),
    'The PostgreSQL database to follow; it also holds the job tables. The user needs REPLICATION.',
    { neededBy: ['gateway', 'capture', 'projector', 'janitor'], secret: true },
  ),
  sourcePreset: setting(
    'SOURCE_PRESET',
    oneOf(...PRESETS),
    'The kind of FHIR server, which says how the source keeps its resources.',
    { default: 'headwater' },
  ),
  sourceTable: setting(
    'SOURCE_TABLE',
    pattern(/^[^.]+\.[^.]+$/, 'schema.table'),
    'The table of a preset that has one.',
    {
      default: {
        words: '`public.resources` for presets hfs and wso2, else `public.resource`',
        from: (read) =>
          ['hfs', 'wso2'].includes(read('SOURCE_PRESET')) ? 'public.resources' : 'public.resource',
      },
    },
  ),
  sourceSchema: setting('SOURCE_SCHEMA', text, 'The schema of a preset that has many tables.', {
    default: 'public',
  }),
  sourceColumns: setting(
    'SOURCE_COLUMNS',
    text,
    'Preset columns: `type=…,id=…,body=…` and optionally `version`, `lastUpdated`, `deleted`, `tenant`.',
    { default: '' },
  ),
  sourceMeta: setting(
    'SOURCE_META',
    oneOf('body', 'columns'),
    'Presets headwater and columns: whether meta.versionId and meta.lastUpdated come from the body or from columns.',
    { default: 'body' },
  ),
  sourceTenant: setting('SOURCE_TENANT', TENANTS, 'The tenant whose resources are followed.', {
    default: '',
  }),
  sourceTypes: setting('SOURCE_TYPES', TYPES, 'Resource types to follow; without it all.', { default: '' }),
  sourceExcludeTypes: setting('SOURCE_EXCLUDE_TYPES', TYPES, 'Resource types to leave out.', {
    default: {
      words: '`Binary` for presets hapi and medplum, else none',
      from: (read) => (['hapi', 'medplum'].includes(read('SOURCE_PRESET')) ? 'Binary' : ''),
    },
  }),
  sourceTimeZone: setting(
    'SOURCE_TIME_ZONE',
    text,
    'Preset hapi: the time zone of the server, which writes times without a zone.',
    { default: 'UTC' },
  ),
  sourceHapiTags: setting(
    'SOURCE_HAPI_TAGS',
    oneOf('versioned', 'non-versioned', 'inline'),
    "Preset hapi: the server's tag_storage_mode.",
    { default: 'versioned' },
  ),
  sourceMedplumMeta: setting(
    'SOURCE_MEDPLUM_META',
    oneOf('plain', 'extended'),
    "Preset medplum: with or without Medplum's own members of meta (project, author, account, compartment).",
    { default: 'plain' },
  ),
  sourceAidboxCreatedAtUrl: setting(
    'SOURCE_AIDBOX_CREATED_AT_URL',
    url('http:', 'https:'),
    'Preset aidbox: the extension of meta with the time at which a resource was made (BOX_FHIR_CREATEDAT_URL).',
    { default: 'https://aidbox.app/ex/createdAt' },
  ),
  sourceBaseUrls: setting(
    'SOURCE_BASE_URLS',
    urlList('http:', 'https:'),
    'Base URLs of the FHIR server: an absolute reference below one is to a resource of the source.',
    { default: '' },
  ),
  loadConnections: setting(
    'LOAD_CONNECTIONS',
    wholeNumber(1, 32),
    'Connections by which a load reads a large table, of PostgreSQL 14 or newer.',
    { default: '2' },
  ),
  slot: setting('SLOT', NAME, 'Replication slot to create and follow.', { default: 'headwater' }),
  slotFailover: setting(
    'SLOT_FAILOVER',
    switched,
    'PostgreSQL 17 and newer: standbys with `sync_replication_slots` keep a slot that is made.',
    { default: 'false' },
  ),
  publication: setting('PUBLICATION', NAME, 'Publication to create and follow.', { default: 'headwater' }),

  kafkaBrokers: setting('KAFKA_BROKERS', brokerList, 'Kafka brokers to begin with.', { neededBy: LOG_ROLES }),
  kafkaSsl: setting('KAFKA_SSL', switched, 'Speak TLS to Kafka.', { default: 'false' }),
  kafkaSaslMechanism: setting(
    'KAFKA_SASL_MECHANISM',
    oneOf('plain', 'scram-sha-256', 'scram-sha-512'),
    'How to log in to Kafka.',
  ),
  kafkaSaslUsername: setting('KAFKA_SASL_USERNAME', text, 'User for Kafka.'),
  kafkaSaslPassword: setting('KAFKA_SASL_PASSWORD', text, 'Password for Kafka.', { secret: true }),
  registryUrl: setting('REGISTRY_URL', url('http:', 'https:'), 'Confluent-compatible schema registry.', {
    neededBy: LOG_ROLES,
    secret: true, // it may hold a user and a password
  }),
  topicPrefix: setting(
    'TOPIC_PREFIX',
    pattern(/^[A-Za-z0-9._-]{1,100}$/, 'letters, digits, . _ and -'),
    'First part of every topic and group name.',
    {
      default: 'headwater',
    },
  ),
  resourcePartitions: setting(
    'RESOURCE_PARTITIONS',
    wholeNumber(1, 1000),
    'Partitions of a new resource topic.',
    { default: '4' },
  ),
  replicationFactor: setting(
    'REPLICATION_FACTOR',
    wholeNumber(1, 32),
    'Copies of every partition of a new topic; without it 3, or as many as there are brokers.',
  ),
  maxResourceBytes: setting(
    'MAX_RESOURCE_BYTES',
    atMost(byteSize, 64 * 2 ** 20, 'at most 64MiB: brokers take no larger requests'),
    'A larger resource is named in error files instead of exported.',
    {
      default: '16MiB',
    },
  ),

  storageUrl: setting(
    'STORAGE_URL',
    storageUrl,
    'Where export files go: file:///var/lib/headwater/files, s3://bucket/prefix, gs://bucket/prefix or https://account.blob.core.windows.net/container/prefix.',
    {
      neededBy: ['gateway', 'worker', 'janitor'],
    },
  ),
  s3Endpoint: setting(
    'S3_ENDPOINT',
    url('http:', 'https:'),
    'Server with the protocol of S3, as clients reach it too; without it Amazon.',
  ),
  s3Region: setting(
    'S3_REGION',
    text,
    'Region of the bucket; without it AWS_REGION or what the AWS profile names.',
  ),
  s3AccessKeyId: setting(
    'S3_ACCESS_KEY_ID',
    text,
    'Access key for S3; without it the identity of the workload, as the AWS SDK finds it.',
  ),
  s3SecretAccessKey: setting('S3_SECRET_ACCESS_KEY', text, 'Secret of the access key.', { secret: true }),
  s3SessionToken: setting('S3_SESSION_TOKEN', text, 'Session token of a temporary access key.', {
    secret: true,
  }),
  s3PathStyle: setting(
    'S3_PATH_STYLE',
    switched,
    'The bucket stands in the path of a URL and not in the name of the host; most servers other than Amazon need it.',
    {
      default: {
        words: 'true with S3_ENDPOINT',
        from: (read) => String(read('S3_ENDPOINT') !== ''),
      },
    },
  ),
  gcsEndpoint: setting(
    'GCS_ENDPOINT',
    url('http:', 'https:'),
    'Server with the protocol of Google Cloud Storage, as clients reach it too; without it Google.',
  ),
  gcsIamEndpoint: setting(
    'GCS_IAM_ENDPOINT',
    url('http:', 'https:'),
    'Server with the protocol of IAM Credentials, which signs URLs for a service account without a private key here; without it Google.',
  ),
  gcsClientEmail: setting(
    'GCS_CLIENT_EMAIL',
    text,
    'Service account for Google Cloud Storage; without it the application default credentials, which sign URLs by IAM.',
  ),
  gcsPrivateKey: setting('GCS_PRIVATE_KEY', pem, 'Private key of the service account, PEM.', {
    secret: true,
  }),
  azureEndpoint: setting(
    'AZURE_ENDPOINT',
    url('http:', 'https:'),
    'URL of the account’s blobs where it is not https://account.blob.core.windows.net.',
  ),
  azureAccountKey: setting(
    'AZURE_ACCOUNT_KEY',
    text,
    'Key of the Azure storage account; without it the identity of the workload, which needs the roles Storage Blob Data Contributor and Storage Blob Delegator.',
    { secret: true },
  ),
  azureSasVersion: setting(
    'AZURE_SAS_VERSION',
    pattern(/^\d{4}-\d{2}-\d{2}$/, 'a version of the Azure Storage services, as 2025-11-05'),
    'Version of signed URLs, for servers that are older than the SDK.',
  ),
  fileBytes: setting('FILE_BYTES', byteSize, 'A file is closed when it is this large, uncompressed.', {
    default: '128MiB',
  }),
  fileLayout: setting(
    'FILE_LAYOUT',
    oneOf('flat', 'hive'),
    'Names of files in the folder of an export: flat as Patient-000100001.ndjson, or hive as type=Patient/Patient-000100001.ndjson.',
    { default: 'flat' },
  ),
  containers: setting(
    'CONTAINERS',
    list(/^[A-Za-z0-9][A-Za-z0-9-]{0,62}$/, 'letters, digits and -'),
    'Folders (on a disk), buckets or containers that a client may choose from by _container.',
    { default: '' },
  ),
  compactionLagMs: setting(
    'COMPACTION_LAG',
    duration('minutes'),
    'How long the log keeps replaced versions; longer while an older export is unfinished.',
    { default: '1440' },
  ),
  retentionMs: setting(
    'RETENTION',
    duration('hours'),
    'How long files are kept after an export is complete.',
    { default: '24' },
  ),

  httpHost: setting('HTTP_HOST', text, 'Address to listen on.', { default: '127.0.0.1' }),
  httpPort: setting('HTTP_PORT', wholeNumber(1, 65_535), 'Port to listen on.', { default: '8088' }),
  probePort: setting(
    'PROBE_PORT',
    wholeNumber(1, 65_535),
    'Port of /healthz, /readyz and /metrics in a process without the gateway, which has them on HTTP_PORT.',
  ),
  publicUrl: setting(
    'PUBLIC_URL',
    url('http:', 'https:'),
    'Base of all URLs given to clients; /fhir comes after it.',
    {
      default: {
        words: 'http://127.0.0.1:HTTP_PORT',
        from: (read) => `http://127.0.0.1:${read('HTTP_PORT')}`,
      },
    },
  ),
  urlSecret: setting(
    'URL_SECRET',
    pattern(/^.{32,}$/s, 'at least 32 characters long'),
    'Key that signs file URLs and access tokens, and seals requests, commands and tasks; the same everywhere.',
    {
      neededBy: ['gateway', 'capture', 'planner', 'worker'],
      secret: true,
    },
  ),
  accessFile: setting(
    'ACCESS_FILE',
    text,
    'YAML or JSON file that says who may export what. Without one, everybody who reaches the server may export everything.',
  ),
  keysFolder: setting(
    'KEYS_FOLDER',
    text,
    'Folder with one file for each key that rules of ACCESS_FILE use to hash or to invent values; the same for gateways and workers.',
  ),
  access: setting(
    'ACCESS',
    oneOf('open'),
    'open: listen beyond this machine without ACCESS_FILE. Everybody who reaches the server may then export everything.',
  ),
  fileTokens: setting(
    'FILE_TOKENS',
    switched,
    'Ask for an access token to download files, which then pass through the gateway; otherwise their URLs are signed. Needs ACCESS_FILE.',
    { default: 'false' },
  ),
  urlTtlMs: setting(
    'URL_TTL',
    duration('seconds'),
    'How long a file URL is good for, at most as long as the file; a new manifest has new URLs.',
    {
      default: {
        words: 'RETENTION; 300 with ACCESS_FILE',
        from: (read) =>
          read('ACCESS_FILE') === ''
            ? String(Math.min(999_999_999, Math.ceil(Number(read('RETENTION')) * 3600)))
            : '300',
      },
    },
  ),
  corsOrigins: setting(
    'CORS_ORIGINS',
    originList,
    'Origins of web pages whose scripts may call, as https://app.example.org; * for all, which lets any page that a user of this network opens export everything.',
    { default: '' },
  ),
  maxBodyBytes: setting('MAX_BODY', byteSize, 'Longest body of a kick-off by POST; a longer one is a 413.', {
    default: '16MiB',
  }),
  exportBinary: setting(
    'EXPORT_BINARY',
    switched,
    'A system export without _type holds Binary; otherwise only when _type names it.',
    { default: 'false' },
  ),
  requirePrefer: setting('REQUIRE_PREFER', switched, 'Refuse a kick-off without Prefer: respond-async.', {
    default: 'true',
  }),
  planWaitMs: setting(
    'PLAN_WAIT',
    duration('seconds'),
    'How long a kick-off waits to learn that a group or patient is not there, or has to be asked for otherwise.',
    { default: '1' },
  ),
  strictAccept: setting(
    'STRICT_ACCEPT',
    switched,
    'Refuse a kick-off whose Accept does not name application/fhir+json.',
    {
      default: 'false',
    },
  ),

  maxExportMs: setting(
    'MAX_EXPORT',
    atMost(duration('hours'), 96 * 3_600_000, 'at most 96: the log forgets commands and tasks after 120'),
    'Longest an export may take.',
    {
      default: '24',
    },
  ),
  jobDeadlineMs: setting(
    'JOB_DEADLINE',
    duration('minutes'),
    'An export without progress for this long has failed.',
    {
      default: '10',
    },
  ),
  jobHistoryMs: setting(
    'JOB_HISTORY',
    duration('days'),
    'How long an export is remembered after its files are gone; the log keeps its events longer.',
    { default: '90' },
  ),
  auditRetentionMs: setting(
    'AUDIT_RETENTION',
    duration('days'),
    'How long the audit log keeps its records.',
    { default: '1095' },
  ),
  maxJobsPerClient: setting(
    'MAX_JOBS_PER_CLIENT',
    wholeNumber(1, 100_000),
    'Unfinished exports of one client.',
    { default: '10' },
  ),
  maxJobs: setting('MAX_JOBS', wholeNumber(1, 100_000), 'Unfinished exports of all clients.', {
    default: '100',
  }),
  taskBytes: setting('TASK_BYTES', byteSize, 'Size of the pieces an export is divided into.', {
    default: '256MiB',
  }),
  quickBytes: setting('QUICK_BYTES', byteSize, 'An export planned below this size goes past larger ones.', {
    default: '16MiB',
  }),
  replayThreads: setting('REPLAY_THREADS', wholeNumber(1, 1024), 'Tasks replayed at a time by one worker.', {
    default: { words: 'CPUs of the machine', from: () => String(availableParallelism()) },
  }),
  watchdogSeconds: setting(
    'WATCHDOG',
    wholeNumber(0, 86_400),
    'Seconds after which a process whose event loop stands still is ended; 0 for never.',
    { default: '30' },
  ),
} as const;
