import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import type { Role } from '../../src/config/roles.ts';
import { ROLES } from '../../src/config/roles.ts';
import { freePort } from '../../src/stack/ports.ts';
import { grant } from '../support/broker-rights.ts';
import type { Grant } from '../support/broker-rights.ts';
import { Brokers } from '../support/brokers.ts';
import { sharedStack } from '../support/stack.ts';
import { Deployment } from './deployment.ts';
import { applied, assertChanges, assertLines, assertSnapshot, exportNow } from './exported.ts';
import type { RoleProcess } from './role-process.ts';
import { SourceWriter } from './source-writer.ts';
import { until } from '../support/until.ts';

const PASSWORD = 'a-password-of-the-tests';
/** Life of a login in milliseconds: short, so that a test sees several. */
const LIFE = 12_000;
/** Everything a process with all roles needs. */
const ALL_RIGHTS: readonly Grant[] = [
  {
    kind: 'topic',
    rights: ['Create', 'Describe', 'DescribeConfigs', 'AlterConfigs', 'Read', 'Write', 'Delete'],
  },
  { kind: 'group', rights: ['Describe', 'Read'] },
  { kind: 'transactional id', rights: ['Describe', 'Write'] },
];
/** The roles that use Kafka. */
const KAFKA_ROLES = ROLES.filter((role) => role !== 'gateway');

describe('brokers that ask for a login', function () {
  this.timeout(300_000);
  let brokers: Brokers;
  let headwater: Deployment;
  let writer: SourceWriter;

  const users = ['product', 'anybody', ...KAFKA_ROLES].map((name) => ({ name, password: PASSWORD }));

  describe('and give all rights', () => {
    before(async () => {
      brokers = await Brokers.start({ security: { users, maxReauthMs: LIFE, authorize: true } });
      await deploy();
      await grant(brokers, 'product', headwater.settings.topicPrefix, ALL_RIGHTS);
    });

    afterEach(() => headwater.end());
    after(removed);

    it('serve all roles over TLS with SCRAM-SHA-512, over many logins and without more sockets', async () => {
      const roles = start(ROLES, 'product', 'scram-sha-512', 'tls');
      await headwater.ready();
      let base = await exportNow({ server: headwater.server });
      let at = assertSnapshot(base, writer.history);
      writer.run();
      const counts: number[] = [];
      const end = Date.now() + 3 * LIFE;
      while (Date.now() < end) {
        const next = await exportNow({ server: headwater.server, since: base.transactionTime });
        at = assertChanges(next, writer.history, at);
        base = { ...next, output: applied(base.output, next) };
        counts.push(socketsOf(roles));
      }
      await writer.pause();
      // Pools still fill for a while. If a login left its socket open, each life would add one for every connection.
      const [first = 0, last = 0] = [counts.at(0), counts.at(-1)];
      assert.ok(last < 1.5 * first, `sockets grow: ${counts.join()}`);
      assert.equal(await roles.terminate(), 0);
    });

    for (const [mechanism, listener] of [
      ['plain', 'tls'],
      ['scram-sha-256', 'plain'],
    ] as const) {
      it(`serve the whole product with ${mechanism} over ${listener === 'tls' ? 'TLS' : 'plain text'}`, async () => {
        const roles = start(ROLES, 'product', mechanism, listener);
        await writer.commit(new Map([['Patient/one-more', 'put']]));
        const exported = await exportNow({ server: headwater.server });
        assert.equal(assertSnapshot(exported, writer.history), writer.history.length);
        assertLines(exported.output, writer.history.stateAfter(writer.history.length), 'at the end');
        assert.equal(await roles.terminate(), 0);
      });
    }

    for (const mechanism of ['plain', 'scram-sha-256'] as const) {
      it(`end every role that has a wrong password for ${mechanism}, with the settings to change`, async () => {
        const wrong = { HEADWATER_KAFKA_SASL_PASSWORD: 'wrong' };
        for (const [role, process] of KAFKA_ROLES.map(
          (role) => [role, start([role], 'product', mechanism, 'plain', wrong)] as const,
        )) {
          assert.notEqual(await process.exit(), 0, role);
          const text = process.lines.join('\n');
          assert.match(
            text,
            /HEADWATER_KAFKA_SASL_USERNAME|HEADWATER_KAFKA_SASL_PASSWORD/,
            `${role}: ${text}`,
          );
          assert.doesNotMatch(text, new RegExp(PASSWORD));
        }
      });
    }
  });

  describe('and give no rights at first', () => {
    before(async () => {
      brokers = await Brokers.start({ security: { users, authorize: true } });
      await deploy();
    });

    after(removed);

    it('serve each role in the end, when the rights are granted that its messages name one after the other', async () => {
      const prefix = headwater.settings.topicPrefix;
      start(['gateway'], 'product', 'plain', 'plain');
      const told = new Map<Role, readonly string[]>();
      await Promise.all(
        KAFKA_ROLES.map(async (role) => {
          const messages: string[] = [];
          told.set(role, messages);
          for (;;) {
            const message = await untilReadyOrRefused(role);
            if (message === undefined) return;
            const wanted = grantsIn(message);
            assert.ok(wanted.length > 0, `${role} names no right: ${message}`);
            assert.ok(!messages.includes(message), `${role} still lacks it: ${message}`);
            messages.push(message);
            await grant(brokers, role, prefix, wanted);
          }
        }),
      );
      for (const [role, messages] of told) assert.ok(messages.length > 0, `${role} had every right`);
      console.log(
        `        ${[...told].map(([role, messages]) => `${role} ${messages.length}`).join(', ')} times refused`,
      );
      const exported = await exportNow({ server: headwater.server });
      assert.equal(assertSnapshot(exported, writer.history), writer.history.length);
    });
  });

  /** Starts the role. Resolves to the refusal that it logs, or to undefined when it works. */
  async function untilReadyOrRefused(role: Role): Promise<string | undefined> {
    const port = await freePort();
    const process = start([role], role, 'plain', 'plain', { HEADWATER_PROBE_PORT: String(port) });
    const answer = await until(`${role} to work or to say what it lacks`, async () => {
      const line = process.lines.find((one) => /grant this user/.test(one));
      if (line !== undefined) return { line };
      if (!process.running) return { line: process.lines.join('\n') };
      return (await fetch(`http://127.0.0.1:${port}/readyz`)).ok ? { line: undefined } : undefined;
    });
    if (answer.line !== undefined) await process.end();
    return answer.line;
  }

  async function deploy(): Promise<void> {
    headwater = await Deployment.create(
      { ...sharedStack(), kafkaBrokers: brokers.addresses },
      { HEADWATER_REPLICATION_FACTOR: '3' },
    );
    writer = await SourceWriter.create(headwater.databaseUrl);
    await writer.bulk('Observation', 'big-', 200);
  }

  async function removed(): Promise<void> {
    await writer?.close();
    await headwater?.remove();
    await brokers?.stop();
  }

  function start(
    roles: readonly Role[],
    username: string,
    mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512',
    listener: 'plain' | 'tls',
    settings: Readonly<Record<string, string>> = {},
  ): RoleProcess {
    return headwater.start(roles, {
      HEADWATER_KAFKA_BROKERS: brokers.loginAddresses[listener].join(),
      HEADWATER_KAFKA_SSL: String(listener === 'tls'),
      HEADWATER_KAFKA_SASL_MECHANISM: mechanism,
      HEADWATER_KAFKA_SASL_USERNAME: username,
      HEADWATER_KAFKA_SASL_PASSWORD: PASSWORD,
      NODE_EXTRA_CA_CERTS: brokers.certificate ?? '',
      ...settings,
    });
  }
});

/** Reads `grant this user Describe and Write on transactional id "x"`. */
function grantsIn(message: string): Grant[] {
  return [
    ...message.matchAll(/grant this user (.+?) on (?:the )?(topic|group|transactional id|cluster)/g),
  ].map(([, rights = '', kind]) => ({
    kind: kind as Grant['kind'],
    rights: [...rights.matchAll(/[A-Z][A-Za-z]+/g)].map(([right]) => right),
  }));
}

/** Open sockets of a process. Linux only. */
function socketsOf(process: RoleProcess): number {
  const folder = `/proc/${process.pid}/fd`;
  return readdirSync(folder).filter((name) => {
    try {
      return readlinkSync(`${folder}/${name}`).startsWith('socket:');
    } catch {
      return false; // it was closed meanwhile
    }
  }).length;
}
