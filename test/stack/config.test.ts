import assert from 'node:assert/strict';
import { parseAccount } from '../../src/stack/local/account.ts';
import { parseRelease } from '../../src/stack/local/java.ts';
import { clusterId, kafkaProperties, properties } from '../../src/stack/local/kafka.ts';
import { postgresSettings } from '../../src/stack/local/postgres.ts';
import { registryEnvironment } from '../../src/stack/local/registry.ts';

describe('the configuration of local servers', () => {
  it('lets PostgreSQL decode its log, and makes it durable only for people', () => {
    const settings = postgresSettings(5455, 'people');
    assert.equal(settings['wal_level'], 'logical');
    assert.equal(settings['max_replication_slots'], '16');
    assert.equal(settings['track_commit_timestamp'], 'on');
    assert.equal(settings['fsync'], 'on');
    assert.equal(postgresSettings(5455, 'tests')['fsync'], 'off');
  });

  it('lets Kafka take large messages and creates no topic automatically', () => {
    const text = kafkaProperties({ port: 9055, controllerPort: 9056, data: '/data', purpose: 'people' });
    const lines = text.split('\n');
    assert.ok(lines.includes('message.max.bytes=33554432'));
    assert.ok(lines.includes('auto.create.topics.enable=false'));
    assert.ok(lines.includes('advertised.listeners=PLAINTEXT://127.0.0.1:9055'));
    assert.ok(lines.includes('controller.quorum.voters=1@127.0.0.1:9056'));
    assert.ok(!text.includes('broker.session.timeout.ms'));
  });

  it('escapes backslashes and letters beyond Latin in a path of Kafka', () => {
    assert.equal(properties({ 'log.dirs': 'C:\\Дата' }), 'log.dirs=C:\\\\\\u0414\\u0430\\u0442\\u0430\n');
  });

  it('gives Kafka a cluster id that does not begin with a dash', () => {
    for (let byte = 0; byte < 256; byte++)
      assert.match(clusterId(Buffer.alloc(16, byte)), /^[A-Za-f][\w-]{21}$/);
  });

  it('makes the registry write every schema to its file at once', () => {
    const env = registryEnvironment({ port: 8055, data: '/data' });
    assert.equal(env['QUARKUS_HTTP_HOST'], '127.0.0.1');
    assert.match(env['APICURIO_DATASOURCE_URL'] ?? '', /^jdbc:h2:file:\/data\/registry;WRITE_DELAY=0/);
    assert.equal(env['REGISTRY_DATASOURCE_URL'], env['APICURIO_DATASOURCE_URL']);
  });
});

describe('what this machine has', () => {
  const releases = {
    'JAVA_VERSION="25.0.3"\nIMPLEMENTOR="x"': 25,
    'openjdk version "17.0.15" 2025-04-15': 17,
    'java version "1.8.0_392"': 8,
    'openjdk version "21" 2023-09-19': 21,
    'no java here': undefined,
  };
  for (const [text, release] of Object.entries(releases)) {
    it(`is Java ${String(release)} when it says ${JSON.stringify(text.slice(0, 30))}`, () => {
      assert.equal(parseRelease(text), release);
    });
  }

  it('finds an account of /etc/passwd by its whole name', () => {
    const passwd =
      'root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:7::/:/bin/sh\npostgres:x:106:114::/var:/bin/sh\n';
    assert.deepEqual(parseAccount(passwd, 'postgres'), { name: 'postgres', uid: 106, gid: 114 });
    assert.equal(parseAccount(passwd, 'nobody'), undefined);
  });
});
