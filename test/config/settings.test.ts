import assert from 'node:assert/strict';
import fc from 'fast-check';
import { HeadwaterError } from '../../src/base/errors.ts';
import { settingsAsMarkdown, settingsAsText } from '../../src/config/help.ts';
import { ROLES } from '../../src/config/roles.ts';
import { parseSettings, printableSettings } from '../../src/config/settings.ts';
import type { Environment } from '../../src/config/environment.ts';
import { TABLE } from '../../src/config/table.ts';

const FULL: Environment = {
  HEADWATER_SOURCE_URL: 'postgres://user:hunter2@db:5432/fhir',
  HEADWATER_KAFKA_BROKERS: 'one:9092, two:9093',
  HEADWATER_REGISTRY_URL: 'http://registry:8081/apis/ccompat/v7/',
  HEADWATER_STORAGE_URL: 'file:///tmp/files',
  HEADWATER_URL_SECRET: '0123456789abcdef0123456789abcdef',
};

/** The lines of the error that these variables lead to. */
function problems(env: Environment, roles?: Parameters<typeof parseSettings>[1]): string[] {
  try {
    parseSettings(env, roles);
  } catch (error) {
    assert.ok(error instanceof HeadwaterError && error.code === 'bad-config');
    return error.message.split('\n');
  }
  return [];
}

describe('settings', () => {
  it('have defaults for everything that is not needed', () => {
    const settings = parseSettings(FULL);
    assert.deepEqual(settings.roles, ROLES);
    assert.deepEqual(settings.kafkaBrokers, ['one:9092', 'two:9093']);
    assert.equal(settings.registryUrl, 'http://registry:8081/apis/ccompat/v7');
    assert.equal(settings.kafkaSaslMechanism, undefined);
    assert.equal(settings.sourceTable, 'public.resource');
    assert.equal(settings.publicUrl, 'http://127.0.0.1:8088');
    assert.equal(settings.fileBytes, 128 * 1024 * 1024);
    assert.equal(settings.retentionMs, 24 * 3_600_000);
    assert.equal(settings.jobDeadlineMs, 600_000);
    assert.equal(settings.urlTtlMs, settings.retentionMs);
    assert.equal(settings.requirePrefer, true);
    assert.ok(settings.replayThreads >= 1);
  });

  it('take the public URL from the port unless it is set', () => {
    assert.equal(parseSettings({ ...FULL, HEADWATER_HTTP_PORT: '9000' }).publicUrl, 'http://127.0.0.1:9000');
    const set = parseSettings({ ...FULL, HEADWATER_PUBLIC_URL: 'https://bulk.example/base/' });
    assert.equal(set.publicUrl, 'https://bulk.example/base');
  });

  it('tell all that is missing at once, one line each, by name and role', () => {
    const lines = problems({});
    for (const [i, name] of [
      'SOURCE_URL',
      'KAFKA_BROKERS',
      'REGISTRY_URL',
      'STORAGE_URL',
      'URL_SECRET',
    ].entries()) {
      assert.match(lines[i] ?? '', new RegExp(`^HEADWATER_${name} is not set; \\w+ needs it: `));
    }
    assert.equal(lines.length, 5);
  });

  it('demand only what the roles need', () => {
    assert.equal(problems({}, []).length, 0);
    assert.deepEqual(
      problems({}, ['gateway']).map((line) => line.split(' ')[0]),
      ['HEADWATER_SOURCE_URL', 'HEADWATER_STORAGE_URL', 'HEADWATER_URL_SECRET'],
    );
    assert.equal(problems({ HEADWATER_ROLES: 'planner' }).length, 3);
  });

  it('throw when one that was not demanded is read all the same', () => {
    const settings = parseSettings({}, ['planner'].slice(1) as []);
    assert.throws(() => settings.urlSecret, {
      code: 'bad-config',
      message: /HEADWATER_URL_SECRET is not set/,
    });
    assert.doesNotThrow(() => ({ ...settings }));
  });

  const wrong: Readonly<Record<string, string>> = {
    ROLES: 'gateway,gatway',
    LOG_LEVEL: 'loud',
    SOURCE_URL: 'mysql://hunter2',
    SOURCE_TABLE: 'resource',
    SLOT: 'Head-Water',
    KAFKA_BROKERS: 'one',
    KAFKA_SSL: 'maybe',
    KAFKA_SASL_MECHANISM: 'gssapi',
    REGISTRY_URL: 'registry',
    TOPIC_PREFIX: 'a b',
    RESOURCE_PARTITIONS: '0',
    REPLICATION_FACTOR: '1.5',
    STORAGE_URL: '/tmp',
    HTTP_PORT: '99999',
    URL_SECRET: 'hunter2',
    URL_TTL: '-1',
    CORS_ORIGINS: 'https://app.example.org,app.example.org',
    EXPORT_BINARY: 'perhaps',
    RETENTION: '0',
    FILE_BYTES: '128MB',
    REQUIRE_PREFER: 'ja',
    MAX_JOBS: '1e3',
    MAX_RESOURCE_BYTES: '65MiB',
    MAX_EXPORT: '97',
  };
  for (const [name, value] of Object.entries(wrong)) {
    it(`refuse ${name}=${value} by its name and without its value`, () => {
      const lines = problems({ ...FULL, [`HEADWATER_${name}`]: value });
      assert.equal(lines.length, 1);
      assert.match(lines[0] ?? '', new RegExp(`^HEADWATER_${name} must be `));
      assert.ok(!lines[0]?.includes('hunter2'));
    });
  }

  it('refuse unknown ones and name the nearest', () => {
    assert.deepEqual(problems({ ...FULL, HEADWATER_KAFKA_BROKER: 'x:1' }), [
      'HEADWATER_KAFKA_BROKER is not a setting; did you mean HEADWATER_KAFKA_BROKERS?',
    ]);
    assert.deepEqual(problems({ ...FULL, HEADWATER_COLOUR: 'x' }), ['HEADWATER_COLOUR is not a setting']);
    const others = {
      HEADWATER_STACK: 'local',
      HEADWATER_STACK_X: '1',
      HEADWATER_TEST_POSTGRES_URL: 'x',
      OTHER: '1',
    };
    assert.equal(problems({ ...FULL, ...others }).length, 0);
  });

  it('demand user and password with a SASL mechanism', () => {
    const lines = problems({
      ...FULL,
      HEADWATER_KAFKA_SASL_MECHANISM: 'SCRAM-SHA-512',
      HEADWATER_KAFKA_SASL_USERNAME: 'u',
    });
    assert.deepEqual(lines, [
      'HEADWATER_KAFKA_SASL_PASSWORD is not set; HEADWATER_KAFKA_SASL_MECHANISM needs it',
    ]);
  });

  it('take an empty variable as not set', () => {
    assert.equal(parseSettings({ ...FULL, HEADWATER_HTTP_PORT: ' ' }).httpPort, 8088);
  });

  it('read sizes and times in the units they name', () => {
    const settings = parseSettings({
      ...FULL,
      HEADWATER_FILE_BYTES: '1000',
      HEADWATER_TASK_BYTES: '2 GiB',
      HEADWATER_RETENTION: '0.5',
    });
    assert.deepEqual(
      [settings.fileBytes, settings.taskBytes, settings.retentionMs],
      [1000, 2 ** 31, 1_800_000],
    );
  });

  it('of any environment are good or a bad-config', () => {
    const names = Object.values(TABLE).map((setting) => `HEADWATER_${setting.name}`);
    const env = fc.dictionary(
      fc.constantFrom(...names),
      fc.oneof(fc.string(), fc.nat().map(String), fc.webUrl()),
    );
    fc.assert(
      fc.property(env, (variables) => {
        problems(variables);
        problems({ ...FULL, ...variables });
      }),
    );
  });

  it('print without secrets', () => {
    const printed = JSON.stringify(
      printableSettings(parseSettings({ ...FULL, HEADWATER_KAFKA_SASL_PASSWORD: 'hunter3' })),
    );
    for (const secret of ['hunter2', 'hunter3', '0123456789abcdef']) assert.ok(!printed.includes(secret));
    assert.ok(printed.includes('public.resource'));
  });

  it('are all in the help, with defaults that are valid', () => {
    for (const setting of Object.values(TABLE)) {
      assert.ok(settingsAsMarkdown().includes(`| \`HEADWATER_${setting.name}\` |`));
      assert.ok(settingsAsText().includes(`HEADWATER_${setting.name} (`));
    }
    assert.equal(
      settingsAsMarkdown()
        .split('\n')
        .filter((line) => line !== '' && line.split(' | ').length !== 4).length,
      0,
    );
  });
});
