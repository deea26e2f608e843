import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { verifyChain } from '../../src/audit/verify.ts';
import type { Role } from '../../src/config/roles.ts';
import type { Announced } from '../../src/events/announced.ts';
import type { AuditRecord } from '../../src/events/audit.ts';
import { offset } from '../../src/base/positions.ts';
import { readAnnounced } from '../../src/jobs/announced.ts';
import { sharedStack } from '../support/stack.ts';
import { until } from '../support/until.ts';
import { Deployment } from './deployment.ts';
import { exportNow, submit } from './exported.ts';
import { Fleet } from './fleet.ts';
import { jobOf } from './job-log.ts';
import { rounds } from './rounds.ts';
import { SourceWriter } from './source-writer.ts';

/** Killed by turns. */
const VICTIMS: readonly Role[] = ['gateway', 'capture', 'worker', 'projector', 'janitor', 'planner'];
const SIGNAL_MS = 60_000;

describe('the audit log of a Headwater whose processes are killed', function () {
  this.timeout(240_000);
  let headwater: Deployment;
  let writer: SourceWriter;

  before(async () => {
    headwater = await Deployment.create(sharedStack());
    writer = await SourceWriter.create(headwater.databaseUrl);
    await writer.bulk('Patient', 'p', 20);
  });
  after(async () => {
    await writer?.close();
    await headwater?.remove();
  });

  async function audited(): Promise<{ record: AuditRecord; key: string; value: Buffer }[]> {
    const { reader, names } = headwater.log;
    const { control } = await headwater.log.codecs();
    const [to] = await reader.ends(names.audit);
    const range = { topic: names.audit, partition: 0, from: offset(0), to: to ?? offset(0) };
    const found = [];
    for await (const records of reader.read(range, AbortSignal.timeout(SIGNAL_MS)))
      for (const { key, value } of records)
        found.push({ key: key.toString(), value, record: control.audit.decode(value) });
    return found;
  }

  async function announced(): Promise<Announced> {
    const { reader, names } = headwater.log;
    const { control } = await headwater.log.codecs();
    const place = { reader, topic: names.announced, codec: control.announced };
    return readAnnounced(place, AbortSignal.timeout(SIGNAL_MS));
  }

  async function isComplete(): Promise<boolean> {
    const { audit, announcement } = headwater.tables;
    const [row] = await headwater.query<{ waiting: string; last: string | null }>(
      `SELECT (SELECT count(*) FROM ${audit} WHERE n IS NULL) + (SELECT count(*) FROM ${announcement}) AS waiting,
         (SELECT max(n) FROM ${audit}) AS last`,
    );
    return row?.waiting === '0' && Number(row.last) === (await announced()).audit.row;
  }

  it(`has each thing once over ${String(rounds(2) * VICTIMS.length)} kills`, async () => {
    const { server } = headwater;
    const fleet = new Fleet(headwater);
    fleet.start();
    await exportNow({ server });
    const completed: string[] = [];
    const cancelled: string[] = [];
    let forged = 0;
    for (let round = 0; round < rounds(2) * VICTIMS.length; round++) {
      const victim = VICTIMS[round % VICTIMS.length] ?? assert.fail();
      const statusUrl = await submit({ server });
      await headwater.query('SELECT pg_logical_emit_message(true, $1, $2)', [
        headwater.settings.topicPrefix,
        `{"forged": ${String(++forged)}}`,
      ]);
      if (round % 3 === 2) {
        // The answer may be lost with the gateway; the database knows whether the cancel counts.
        await until('the cancel', async () =>
          [202, 404].includes((await fetch(statusUrl, { method: 'DELETE' })).status),
        );
        cancelled.push(jobOf(statusUrl));
      } else completed.push(statusUrl);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 300));
      await fleet.kill(victim);
      fleet.start(victim);
    }
    for (const statusUrl of completed)
      await until('an end', async () => (await fetch(statusUrl).catch(() => undefined))?.status === 200);
    await exportNow({ server }); // capture has passed every forged message
    await until('the audit log to be complete', isComplete);

    const records = await audited();
    const jobsOf = (kind: string): string[] =>
      records.flatMap(({ record, key }) => (record.kind === kind ? [key] : [])).sort();
    const requests = await headwater.query<{ job_id: string }>(
      `SELECT job_id FROM ${headwater.tables.request} ORDER BY job_id`,
    );
    assert.deepEqual(jobsOf('export.requested'), requests.map(({ job_id: id }) => id).sort());
    const ended = await headwater.query<{ job_id: string }>(
      `SELECT job_id FROM ${headwater.tables.job} WHERE state = 'completed'`,
    );
    const cancels = jobsOf('export.cancelled');
    assert.deepEqual(cancels, cancelled.toSorted());
    assert.deepEqual(
      jobsOf('export.completed').filter((id) => !cancels.includes(id)),
      ended.map(({ job_id: id }) => id).sort(),
    );
    assert.equal(jobsOf('message.forged').length, forged);
    for (const kind of ['export.planned', 'export.completed', 'files.deleted']) {
      const jobs = jobsOf(kind);
      assert.equal(new Set(jobs).size, jobs.length, kind);
    }
    const ids = records.map(({ record }) => record.id);
    assert.equal(new Set(ids).size, ids.length);
    const { problems, last } = await verifyChain(Readable.from(records), (await announced()).audit, 0);
    assert.deepEqual(problems, []);
    assert.equal(last, records.length);
  });
});
