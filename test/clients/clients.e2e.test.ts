import assert from 'node:assert/strict';
import { messageOf } from '../../src/base/errors.ts';
import { exportNow } from '../faults/exported.ts';
import type { Deployment } from '../faults/deployment.ts';
import type { Level } from './bulk-client.ts';
import { bulkExport } from './bulk-export.ts';
import { assertSame, exportBy } from './export-by.ts';
import { DATA, loadedHeadwater } from './loaded.ts';
import { medplum } from './medplum.ts';
import { ownCommandLine } from './own-command-line.ts';
import { receivedIn } from './received.ts';
import { smartFetch } from './smart-fetch.ts';

const INSTALL_MS = 300_000;
const RUN_MS = 120_000;
const SOME_TYPES = ['Patient', 'Condition'];
/** All of their references to patients are in the Patient compartment. */
const COMPARTMENT_TYPES = ['Patient', 'Condition', 'Encounter', 'Observation'];
const ACTIVE = 'Condition?clinical-status=active';
const LEVELS = { Patient: 'Patient', Group: 'Group/four-members' } as const;

describe('clients of others', function () {
  this.timeout(RUN_MS);
  let headwater: Deployment;
  /** What has to come: the lines of the files that were loaded, but for what was changed since. */
  let expected: Map<string, string>;
  let changed: Map<string, string>;
  let gone: string;
  /** Before the changes. */
  let since: string;
  const others: string[] = [];

  before(async () => {
    headwater = await loadedHeadwater();
    expected = new Map((await receivedIn(DATA)).resources);
    ({ transactionTime: since } = await exportNow({ server: headwater.server, types: ['Group'] }));
    ({ changed, gone } = await change(headwater, [...expected.keys()]));
    for (const [key, line] of changed) expected.set(key, line);
    expected.delete(gone);
  });

  after(() => headwater?.remove());
  after('some client of others was there', () => assert.notDeepEqual(others, []));

  for (const client of [ownCommandLine, bulkExport, medplum, smartFetch]) {
    describe(client.name, () => {
      const known = (key: string): boolean => client.types?.includes(typeOf(key)) ?? true;

      before(async function () {
        this.timeout(INSTALL_MS);
        // A registry that is away must not look like a fault of ours. The test prints which clients it found, and requires at least one.
        const missing = await client.prepare().catch(messageOf);
        if (missing === undefined) {
          if (client !== ownCommandLine) others.push(client.name);
          return;
        }
        console.log(`      ${client.name} is skipped: ${missing}`);
        this.skip();
      });

      it('receives every resource once, byte for byte', async () => {
        const { resources, deleted } = await exportBy(client, { server: headwater.server });
        assertSame(resources, only(expected, known));
        assert.deepEqual([...deleted], []);
      });

      it('receives the types it asks for', async () => {
        const { resources } = await exportBy(client, { server: headwater.server, types: SOME_TYPES });
        assertSame(
          resources,
          only(expected, (key) => SOME_TYPES.includes(typeOf(key))),
        );
      });

      it('receives what changed since the transactionTime of an earlier export, and nothing else', async () => {
        const { resources, deleted } = await exportBy(client, { server: headwater.server, since });
        assertSame(resources, only(changed, known));
        assert.deepEqual([...deleted], client.keepsDeletions ? [gone] : []);
      });

      for (const level of client.levels) {
        it(`receives what belongs to ${level === 'Patient' ? 'all patients' : 'the members of a group'}`, async () => {
          const request = { server: headwater.server, level: LEVELS[level], types: COMPARTMENT_TYPES };
          const { resources } = await exportBy(client, request);
          const patients = patientsOf(expected, LEVELS[level]);
          const belongs = (key: string, line: string): boolean =>
            COMPARTMENT_TYPES.includes(typeOf(key)) &&
            patients.some((patient) => key === patient || line.includes(`"${patient}"`));
          assertSame(resources, only(expected, belongs));
        });
      }

      if (client.filters) {
        it('receives what a search filter lets through', async () => {
          const request = { server: headwater.server, types: SOME_TYPES, typeFilter: ACTIVE };
          const { resources } = await exportBy(client, request);
          const passes = (key: string, line: string): boolean =>
            typeOf(key) === 'Patient' || (typeOf(key) === 'Condition' && isActive(line));
          assertSame(resources, only(expected, passes));
        });
      }

      it('tells its user why a request was refused', async () => {
        const request = { server: headwater.server, types: ['Patient'], since: '2999-01-01T00:00:00Z' };
        await assert.rejects(exportBy(client, request), /_since.*2999/s);
      });
    });
  }
});

/** `Patient/id` of all patients, or of a group's members. */
function patientsOf(lines: ReadonlyMap<string, string>, level: Level): string[] {
  const patients = [...lines.keys()].filter((key) => typeOf(key) === 'Patient');
  return level === 'Patient' ? patients : patients.filter((key) => lines.get(level)?.includes(`"${key}"`));
}

function isActive(line: string): boolean {
  const { clinicalStatus } = JSON.parse(line) as { clinicalStatus?: { coding: { code: string }[] } };
  return clinicalStatus?.coding.some(({ code }) => code === 'active') ?? false;
}

/** Updates a patient, creates an observation and deletes a device. */
async function change(
  headwater: Deployment,
  keys: readonly string[],
): Promise<{ changed: Map<string, string>; gone: string }> {
  const [patient = '', device = ''] = ['Patient/', 'Device/'].map((type) =>
    keys.find((key) => key.startsWith(type)),
  );
  const bodies = new Map([
    [patient, `{"resourceType":"Patient","id":"${idOf(patient)}","active":false}`],
    [
      'Observation/new',
      '{"resourceType":"Observation","id":"new","status":"final","category":[{"coding":[{"code":"exam"}]}],"code":{"text":"Größe"}}',
    ],
  ]);
  for (const [key, body] of bodies) {
    await headwater.query(
      `INSERT INTO resource (type, id, version, last_updated, body) VALUES ($1, $2, 2, now(), $3)
       ON CONFLICT (type, id) DO UPDATE SET version = 2, last_updated = now(), body = excluded.body`,
      [typeOf(key), idOf(key), body],
    );
  }
  await headwater.query('DELETE FROM resource WHERE type = $1 AND id = $2', ['Device', idOf(device)]);
  return { changed: new Map(bodies), gone: device };
}

function only(
  lines: ReadonlyMap<string, string>,
  wanted: (key: string, line: string) => boolean,
): ReadonlyMap<string, string> {
  return new Map([...lines].filter(([key, line]) => wanted(key, line)));
}

const typeOf = (key: string): string => key.split('/')[0] ?? '';
const idOf = (key: string): string => key.split('/')[1] ?? '';
