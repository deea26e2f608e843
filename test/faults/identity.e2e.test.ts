import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { sharedStack } from '../support/stack.ts';
import { Deployment, OTHERS } from './deployment.ts';
import { applied, assertLines, assertSnapshot, exportNow, manifestOf, submit } from './exported.ts';
import type { RoleProcess } from './role-process.ts';
import { SourceWriter } from './source-writer.ts';

const ENTRY = join(import.meta.dirname, '..', '..', 'src', 'main', 'headwater.ts');

/** A new table with the same rows, as pg_restore --clean makes it. */
const recreated = `CREATE TABLE resource (LIKE old INCLUDING ALL); INSERT INTO resource SELECT * FROM old; DROP TABLE old`;

describe('the identity of log and source', function () {
  this.timeout(300_000);
  let headwater: Deployment;
  let writer: SourceWriter;
  let capture: RoleProcess;

  before(async () => {
    headwater = await Deployment.create(sharedStack());
    writer = await SourceWriter.create(headwater.databaseUrl);
    await writer.bulk('Patient', 'p', 20);
    capture = headwater.start(['capture']);
    headwater.start(OTHERS);
    await exportNow({ server: headwater.server });
  });

  afterEach(function () {
    if (this.currentTest?.state === 'failed')
      console.log('capture runs:', capture.running, capture.lines.slice(-10).join('\n'));
  });

  after(async () => {
    await writer?.close();
    await headwater?.remove();
  });

  it('refuse a second installation with another slot, and no topic is deleted', async () => {
    const before = await headwater.writtenTo(headwater.log.names.resource('Patient'));
    await capture.kill();
    const other = headwater.start(['capture'], { HEADWATER_SLOT: `${headwater.settings.slot}_2` });
    await other.logged(/follows slot .*_2; set it back/);
    await other.exit();
    const prefix = `${headwater.settings.topicPrefix}-2`;
    const third = headwater.start(['capture'], { HEADWATER_TOPIC_PREFIX: prefix });
    await third.logged(/slot .* exists and the log of .* does not know it/);
    await third.exit();
    const fourth = headwater.start(['capture'], {
      HEADWATER_TOPIC_PREFIX: prefix,
      HEADWATER_SLOT: `${headwater.settings.slot}_2`,
    });
    await fourth.logged(/publication .* belongs to the Headwater of HEADWATER_TOPIC_PREFIX/);
    await fourth.exit();
    assert.equal(await headwater.writtenTo(headwater.log.names.resource('Patient')), before);
    capture = headwater.start(['capture']);
    await capture.logged(/capture starts: stream/);
  });

  const hiding: readonly [title: string, during: string, back: string][] = [
    ['a table made again', 'ALTER TABLE resource RENAME TO old', recreated],
    [
      'a publication that left out updates and deletes for a while',
      `ALTER PUBLICATION $P SET (publish = 'insert')`,
      `ALTER PUBLICATION $P SET (publish = 'insert, update, delete, truncate')`,
    ],
    [
      'a table out of the publication for a while',
      'ALTER PUBLICATION $P DROP TABLE resource',
      'ALTER PUBLICATION $P ADD TABLE resource',
    ],
  ];
  for (const [title, during, back] of hiding) {
    it(`${title}: the next export is exact, whenever it is asked for`, async () => {
      const sql = (text: string): string => text.replaceAll('$P', headwater.settings.publication);
      const first = await exportNow({ server: headwater.server });
      await headwater.query(sql(during));
      if (back === recreated) await headwater.query(recreated);
      await writer.commit(
        new Map([
          ['Patient/p1', 'put'],
          ['Patient/p2', 'delete'],
        ]),
      );
      if (back !== recreated) await headwater.query(sql(back));
      const next = await exportNow({ server: headwater.server, since: first.transactionTime });
      const state = writer.history.stateAfter(writer.history.length);
      assertLines(applied(first.output, next), state, 'what the client has');
      await capture.logged(/was changed or made again/);
      assertSnapshot(await exportNow({ server: headwater.server }), writer.history);
      await writer.commit(new Map([['Patient/p2', 'put']]));
    });
  }

  it('name a resource topic that is deleted while capture runs, and a reset begins a new epoch', async () => {
    const topic = headwater.log.names.resource('Patient');
    const since = (await exportNow({ server: headwater.server })).transactionTime;
    const admin = headwater.log.kafka.admin();
    await admin.connect();
    await admin.deleteTopics({ topics: [topic] });
    await admin.disconnect();
    await capture.logged(/resources\.Patient was deleted.*headwater reload/, 120_000);
    assert.ok(capture.running, 'it waits for the operator');
    await promisify(execFile)(process.execPath, [ENTRY, 'reset'], {
      env: { ...process.env, ...headwater.env },
    });
    await capture.logged(/capture starts: first-load, since a first load is pending/, 120_000);
    assertSnapshot(await exportNow({ server: headwater.server }), writer.history);
    const statusUrl = await submit({ server: headwater.server, since });
    await manifestOf(statusUrl);
    const manifest = (await (await fetch(statusUrl)).json()) as {
      error: { url: string }[];
      extension: { epoch: string };
    };
    assert.match(manifest.extension.epoch, /^[0-9a-f-]{36}$/);
    const warning = await (await fetch(manifest.error[0]?.url ?? '')).text();
    assert.match(warning, /_since: it is before the log began/);
  });
});
