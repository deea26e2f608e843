// The directions of src/: base <- fhir <- events <- stages <- http <- main. Between stages there are only events.
// topics/ imports nothing but itself.
import { readdirSync } from 'node:fs';

/** A folder, and what it may import from besides itself and packages. */
const PORTS = [
  '^src/log/[^/]+\\.ts$', // the port, not its adapter in log/kafka
  '^src/storage/[^/]+\\.ts$',
  '^src/config/',
];
const VOCABULARY = ['^src/base/', '^src/fhir/', '^src/events/'];
const MAY_IMPORT = {
  base: [],
  fhir: ['^src/base/'],
  events: ['^src/base/', '^src/fhir/', '^topics/'],
  deidentify: ['^src/base/', '^src/fhir/'],
  config: VOCABULARY,
  log: [...VOCABULARY, '^src/config/', '^topics/'],
  storage: [...VOCABULARY, '^src/config/'],
  database: ['^src/base/'],
  capture: [...VOCABULARY, ...PORTS, '^src/database/', '^src/audit/'],
  cohort: [...VOCABULARY, ...PORTS],
  // Planner and workers must mean the same patients.
  plan: [...VOCABULARY, ...PORTS, '^src/cohort/'],
  files: [...VOCABULARY, ...PORTS],
  // A thread cannot be handed a reader of the log, so the body of a replay thread makes one.
  replay: [
    ...VOCABULARY,
    '^src/deidentify/',
    ...PORTS,
    '^src/cohort/',
    '^src/files/',
    '^src/log/kafka/(read/range-reader|wire/cluster)\\.ts$',
  ],
  access: [...VOCABULARY, '^src/deidentify/', '^src/config/', '^src/database/'],
  audit: VOCABULARY,
  jobs: [...VOCABULARY, ...PORTS, '^src/database/', '^src/audit/'],
  manifest: [...VOCABULARY, ...PORTS, '^src/jobs/'],
  http: [
    ...VOCABULARY,
    ...PORTS,
    '^src/audit/',
    '^src/jobs/',
    '^src/manifest/',
    '^src/access/',
    '^src/cohort/',
  ],
  // The command line asks with the parameters that the server reads.
  client: [...VOCABULARY],
  stack: ['^src/base/'],
  main: ['^src/', '^topics/'],
};

const folders = readdirSync('src', { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? [entry.name] : [],
);
for (const folder of folders)
  if (!(folder in MAY_IMPORT))
    throw new Error(`src/${folder} has no row in MAY_IMPORT of .dependency-cruiser.mjs`);
for (const folder of Object.keys(MAY_IMPORT))
  if (!folders.includes(folder))
    throw new Error(`MAY_IMPORT of .dependency-cruiser.mjs names src/${folder}, which does not exist`);

const directions = Object.entries(MAY_IMPORT).map(([folder, allowed]) => ({
  name: `directions-${folder}`,
  comment: `src/${folder} imports only ${allowed.join(' ') || 'itself'}`,
  severity: 'error',
  from: { path: `^src/${folder}/` },
  to: { path: '^(src|topics|test|bench)/', pathNot: [`^src/${folder}/`, ...allowed] },
}));

/** Parts of log/kafka, and the parts that each may import from. */
const KAFKA_PARTS = {
  wire: [],
  read: ['wire'],
  append: ['wire', 'read'],
  admin: ['wire'],
  queue: ['wire', 'read', 'append', 'admin'],
};

const kafkaDirections = Object.entries(KAFKA_PARTS).map(([part, allowed]) => ({
  name: `directions-log-kafka-${part}`,
  comment: `src/log/kafka/${part} imports of log/kafka only ${allowed.join(', ') || 'itself'} and kafka-client.ts`,
  severity: 'error',
  from: { path: `^src/log/kafka/${part}/` },
  to: { path: '^src/log/kafka/.+/', pathNot: [part, ...allowed].map((name) => `^src/log/kafka/${name}/`) },
}));

/** A package that only one place may know. */
const only = (packages, place, comment) => ({
  name: `only-${packages[0].replaceAll(/[^a-z]+/g, '-')}`,
  comment,
  severity: 'error',
  from: { path: '^src/', pathNot: place },
  to: { path: packages.map((name) => `^node_modules/${name.replace(/\/$/, '')}/`) },
});

export default {
  forbidden: [
    ...directions,
    ...kafkaDirections,
    {
      name: 'directions-topics',
      comment: 'topics/ declares what the log holds; src imports it, never the other way',
      severity: 'error',
      from: { path: '^topics/' },
      to: { path: '^(src|test|bench)/' },
    },
    only(['kafkajs'], '^src/log/kafka/', 'Kafka is spoken in log/kafka'),
    only(
      ['@node-rs/crc32'],
      '^src/(log/kafka|storage)/',
      'batches of Kafka and objects of Google have a CRC32C',
    ),
    only(
      ['@aws-sdk/', '@azure/', '@google-cloud/', 'google-auth-library'],
      '^src/storage/',
      'clouds are spoken in storage',
    ),
    only(
      ['avsc', '@kafkajs/confluent-schema-registry'],
      '^src/(events|log)/',
      'Avro is how events are written',
    ),
    only(['jose'], '^src/access/', 'tokens are verified in access'),
    only(['yaml'], '^src/access/', 'the access file alone is YAML'),
    only(['fhirpath'], '^src/deidentify/', 'the cases of generalize alone are FHIRPath'),
    only(['koa', '@koa/'], '^src/http/', 'koa lives in http'),
    only(['commander'], '^src/main/', 'the command line is main'),
    only(['cli-progress'], '^src/client/', 'progress is shown in one way'),
    {
      name: 'stack-is-for-main-and-tests',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(stack|main)/' },
      to: { path: '^src/stack/' },
    },
    {
      name: 'presets-open-nothing',
      comment:
        'a preset is data and pure functions: it may unpack and quote, and reads no file, socket or database',
      severity: 'error',
      from: { path: '^src/capture/presets/' },
      to: {
        path: '.',
        pathNot: [
          '^src/capture/(presets/|pgoutput\\.ts$)',
          '^src/(base|fhir|config)/',
          '^(node:)?zlib$',
          'node_modules/(@types/)?pg/',
        ],
      },
    },
    {
      name: 'main-is-last',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/main/' },
      to: { path: '^src/main/' },
    },
    { name: 'no-tests-in-src', severity: 'error', from: { path: '^src/' }, to: { path: '^(test|bench)/' } },
    { name: 'no-cycles', severity: 'error', from: { path: '^src/' }, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: ['\\.json$', '\\.d\\.ts$'] },
      to: {},
    },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'no-dev-packages',
      comment: 'testcontainers is loaded by the stack, for tests only, when it is there',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/stack/docker/containers\\.ts$' },
      to: { dependencyTypes: ['npm-dev'], pathNot: '^node_modules/@types/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
