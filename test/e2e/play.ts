import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Manifest } from '../../src/manifest/manifest.ts';
import { assertExact } from './expected.ts';
import type { ExportSpec, History, Step } from './history.ts';
import type { Headwater } from './headwater.ts';
import type { Ledger, Place } from './ledger.ts';
import { cancel, kickOff, manifestOnceComplete, receive } from './one-export.ts';
import type { Accepted, Asked } from './one-export.ts';
import { assertSameAgain } from './same-again.ts';
import { Writer } from './writer.ts';

/** An instant for a later `_since`, and its place in the order of commits. */
interface Point {
  readonly time: string;
  readonly place: Place;
}

interface Requested {
  readonly spec: ExportSpec;
  readonly asked: Asked;
  readonly since: Point | undefined;
  readonly accepted: Accepted;
}

/** Plays histories on a Headwater and checks every export against the ledger. */
export class Play {
  /** For the report. */
  readonly tally = { transactions: 0, again: 0 };
  /** Job ids. */
  readonly completed = new Set<string>();
  readonly cancelled = new Set<string>();
  readonly #headwater: Headwater;
  readonly #ledger: Ledger;
  readonly #points: Point[] = [{ time: '2000-01-01T00:00:00.000Z', place: 0 }];
  #restarting: Promise<void> = Promise.resolve();
  /** transactionTime by place, for the order of cuts. */
  readonly #cuts = new Map<Place, string>();

  constructor(headwater: Headwater, ledger: Ledger) {
    this.#headwater = headwater;
    this.#ledger = ledger;
  }

  /** Removes the state of earlier histories, so that a history depends only on its seed. */
  async history({ writers }: History): Promise<void> {
    await this.#headwater.compactEagerly();
    await this.#ledger.forgetOlder();
    await this.steps([{ kind: 'transaction', statements: [{ kind: 'delete-new' }], rollback: false }]);
    await all(writers.map((steps) => this.steps(steps)));
    await this.#ledger.check();
    this.#checkOrder();
  }

  /**
   * Requests that come before there is anything to follow wait for the load, which is their cut; writers go on meanwhile.
   * Where it lies is known by its LSN, up to one transaction.
   */
  async firstLoad(
    start: () => Promise<void>,
    pending: readonly ExportSpec[],
    during: readonly Step[],
  ): Promise<void> {
    const exports = [];
    for (const spec of pending) exports.push(await this.#kickOff(spec));
    for (const { accepted } of exports) this.completed.add(accepted.jobId);
    await all([start(), this.steps(during)]);
    for (const one of exports) {
      const manifest = await manifestOnceComplete(one.accepted.statusUrl);
      const { rows } = await this.#headwater.pool.query<{ lsn: string }>(
        `SELECT '0/0'::pg_lsn + (plan->>'lsn')::numeric AS lsn FROM ${this.#headwater.tables.job} WHERE job_id = $1`,
        [one.accepted.jobId],
      );
      const [after, before] = await this.#ledger.placesAt(rows[0]?.lsn ?? '');
      this.#ledger.loadedAt = after;
      await this.#check(one, manifest, after).catch(async () => {
        this.#ledger.loadedAt = before;
        await this.#check(one, manifest, before);
      });
    }
  }

  /** Resolves when the steps are done and the exports among them are checked. */
  async steps(steps: readonly Step[]): Promise<void> {
    const { jsonb } = this.#headwater;
    const writer = new Writer(await this.#headwater.connect(), this.#ledger, jsonb);
    const checks: Promise<void>[] = [];
    const onExport = async (spec: ExportSpec): Promise<void> => {
      const { checked } = await this.#export(spec);
      checks.push(checked);
      checked.catch(() => undefined); // it is awaited below
      if (spec.wait) await checked;
    };
    try {
      for (const step of steps) {
        if (step.kind === 'export') await onExport(step);
        else if (step.kind === 'burst') await all(step.exports.map(onExport));
        else if (step.kind === 'instant') this.#points.push(await this.#ledger.instant());
        else if (step.kind === 'restart') await this.#restart(step.what);
        else if (
          await writer.transaction(step.statements, step.rollback, (spec) =>
            onExport({ ...spec, wait: false }),
          )
        )
          this.tally.transactions++;
      }
    } finally {
      await Promise.allSettled(checks);
      await writer.end();
    }
    await all(checks);
  }

  /** Kicks an export off; `checked` is fulfilled when it is complete and right. */
  async #export(spec: ExportSpec): Promise<{ readonly checked: Promise<void> }> {
    const one = await this.#kickOff(spec);
    const { jobId, statusUrl } = one.accepted;
    const { cancelAfter } = spec;
    if (cancelAfter === undefined) {
      this.completed.add(jobId);
      const cut = this.#ledger.placeOf(jobId);
      const checked = async (): Promise<void> =>
        this.#check(one, await manifestOnceComplete(statusUrl), await cut);
      return { checked: checked() };
    }
    this.cancelled.add(jobId);
    return { checked: delay(cancelAfter).then(() => cancel(statusUrl)) };
  }

  async #kickOff(spec: ExportSpec): Promise<Requested> {
    const since = spec.since === undefined ? undefined : this.#pointAt(spec.since);
    const asked: Asked = { ...spec, since: since && inZone(since.time, spec.zone) };
    return { spec, asked, since, accepted: await kickOff(this.#headwater.base, asked) };
  }

  async #check({ spec, asked, since, accepted }: Requested, manifest: Manifest, cut: Place): Promise<void> {
    try {
      assert.equal(manifest.request, accepted.requestUrl);
      assert.equal(manifest.deleted !== undefined, asked.since !== undefined, 'deleted is for _since only');
      const received = await receive(manifest, asked.gzip);
      await assertExact(this.#ledger, { since: since?.place, cut, types: asked.types }, received);
      if (spec.again) await assertSameAgain(this.#headwater, accepted.jobId);
    } catch (error) {
      const what = `export ${accepted.jobId}, ${accepted.requestUrl} ${JSON.stringify(asked)}`;
      throw new Error(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
    this.#cuts.set(cut, manifest.transactionTime);
    this.#points.push({ time: manifest.transactionTime, place: cut });
    if (spec.again) this.tally.again++;
  }

  #pointAt(share: number): Point | undefined {
    return this.#points[Math.floor((1 - share) * (this.#points.length - 1))];
  }

  /** One at a time, whichever writer wants it. */
  #restart(what: 'capture' | 'work'): Promise<void> {
    this.#restarting = this.#restarting.then(() => this.#headwater.restart(what));
    return this.#restarting;
  }

  /** Cuts have the order of the kick-offs' commits, and a time of their own each. */
  #checkOrder(): void {
    const times = [...this.#cuts].sort(([a], [b]) => a - b).map(([, time]) => time);
    assert.deepEqual(
      times,
      [...new Set(times)].sort(),
      'transactionTime does not follow the order of commits',
    );
  }
}

/** Like Promise.all, but waits for every promise before it rejects. */
async function all(promises: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(promises)).find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
}

function inZone(time: string, zone: string): string {
  if (zone === 'Z') return time;
  const [hours = 0, minutes = 0] = zone.slice(1).split(':').map(Number);
  const offset = (hours * 60 + minutes) * (zone.startsWith('-') ? -60_000 : 60_000);
  return new Date(Date.parse(time) + offset).toISOString().replace('Z', zone);
}
