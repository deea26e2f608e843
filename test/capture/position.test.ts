import assert from 'node:assert/strict';
import { lsn, stamp } from '../../src/base/positions.ts';
import { refusalOf, startOf } from '../../src/capture/position.ts';
import type { StreamFacts } from '../../src/capture/position.ts';
import { EMPTY_POSITION } from '../../src/events/position.ts';
import type { Position } from '../../src/events/position.ts';

const patients = { type: 'Patient', id: 'p1', starts: [0, 0], ends: [5, 7] };
const stored: Position = {
  ...EMPTY_POSITION,
  slot: 's',
  systemId: 'A/1',
  timeline: 1,
  lsn: lsn(0x100n),
  stamp: stamp(1),
  topics: [patients],
  coverage: [{ subject: 'table t', value: '1' }],
};
const slot = {
  type: 'logical',
  plugin: 'pgoutput',
  database: 'd',
  temporary: false,
  lost: false,
  active: false,
  confirmed: '0/100',
};
const facts: StreamFacts = {
  stored,
  topics: [patients],
  prefix: 'hw',
  slot: 's',
  catalog: { systemId: 'A/1', slot, walEnd: '0/200' },
  timelines: { current: 1, ended: [] },
  coverage: stored.coverage,
};

describe('how capture starts', () => {
  const mode = (changed: Partial<StreamFacts>): string => startOf({ ...facts, ...changed }).mode;
  const from = (changed: Partial<Position>): string => mode({ stored: { ...stored, ...changed } });
  const at = (changed: Partial<typeof slot>): string =>
    mode({ catalog: { ...facts.catalog, slot: { ...slot, ...changed } } });

  it('loads everything when nothing is stored, or a first load was interrupted or asked for', () => {
    assert.equal(mode({ stored: undefined }), 'first-load');
    assert.equal(from({ pending: 'first-load' }), 'first-load');
  });

  it('reloads after a reload that was interrupted or asked for', () => {
    assert.equal(from({ lsn: lsn(0n) }), 'reload');
    assert.equal(from({ pending: 'reload' }), 'reload');
  });

  it('reloads when the slot cannot tell what came after the position', () => {
    assert.equal(mode({ catalog: { ...facts.catalog, slot: null } }), 'reload');
    assert.equal(at({ lost: true }), 'reload');
    assert.equal(at({ confirmed: '0/101' }), 'reload');
  });

  it('reloads when the server was promoted from before the position', () => {
    const promoted = (switched: bigint) => ({
      timelines: { current: 2, ended: [{ timeline: 1, at: lsn(switched) }] },
    });
    assert.equal(mode(promoted(0xffn)), 'reload');
    assert.equal(mode(promoted(0x100n)), 'stream');
    assert.equal(from({ timeline: 3 }), 'reload', 'a timeline that is not in the history');
  });

  it('reloads when the source was set back to before the position', () => {
    assert.equal(mode({ catalog: { ...facts.catalog, walEnd: '0/FF' } }), 'reload');
  });

  it('reloads when what was proved of the source has changed, or nothing was', () => {
    assert.equal(mode({ coverage: [{ subject: 'table t', value: '2' }] }), 'reload');
    assert.equal(from({ coverage: [] }), 'reload');
  });

  it('says of a position from an earlier release that it is one', () => {
    const earlier: Position = { ...stored, timeline: 0, topics: [], coverage: [] };
    assert.match(startOf({ ...facts, stored: earlier }).reason, /^an earlier release stored the position/);
  });

  it('follows the stream otherwise', () => {
    assert.equal(mode({}), 'stream');
    assert.equal(at({ confirmed: '0/7' }), 'stream');
  });
});

describe('what capture refuses at its start', () => {
  const refusal = (changed: Partial<StreamFacts>): string | undefined => refusalOf({ ...facts, ...changed });
  const empty = { stored: undefined, topics: [], catalog: { ...facts.catalog, slot: null } };

  it('is nothing in an empty log, nor when position, topics and source fit', () => {
    assert.equal(refusal({}), undefined);
    assert.equal(refusal(empty), undefined);
    assert.equal(refusal({ ...empty, topics: [{ ...patients, ends: [0, 0] }] }), undefined);
  });

  it('is a log with records and no position', () => {
    assert.match(
      refusal({ ...empty, topics: [patients] }) ?? '',
      /hw\.resources.*hold records.*headwater reset/,
    );
  });

  it('is a slot that the log does not know', () => {
    assert.match(refusal({ ...empty, catalog: facts.catalog }) ?? '', /slot s exists.*HEADWATER_SLOT/);
  });

  it('is a position of another slot or database, unless an operator asked for a load', () => {
    assert.match(refusal({ slot: 'other' }) ?? '', /follows slot s, and HEADWATER_SLOT is other/);
    const catalog = { ...facts.catalog, systemId: 'B/1' };
    assert.match(refusal({ catalog }) ?? '', /another database.*headwater reload/);
    const asked: Position = { ...stored, slot: '', systemId: '', pending: 'reload' };
    assert.equal(refusal({ stored: asked, slot: 'other', catalog }), undefined);
  });

  it('is topics that are not those of the position', () => {
    const changed = (state: Partial<typeof patients>): string =>
      refusal({ topics: [{ ...patients, ...state }] }) ?? '';
    assert.match(refusal({ topics: [] }) ?? '', /Patient was deleted; headwater reload/);
    assert.match(changed({ id: 'p2' }), /deleted and made again; headwater reload/);
    assert.match(changed({ ends: [5, 7, 0] }), /3 partitions and had 2.*headwater reset/);
    assert.match(changed({ ends: [5, 6] }), /lost records: partition 1 ended at 7 or later and ends at 6/);
    assert.match(changed({ starts: [0, 1] }), /lost records: partition 1 began at 0 and begins at 1/);
  });

  it('is not the state of topics that a first load empties', () => {
    assert.equal(refusal({ stored: { ...stored, pending: 'first-load' }, topics: [] }), undefined);
  });
});
