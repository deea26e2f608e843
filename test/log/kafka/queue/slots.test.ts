import assert from 'node:assert/strict';
import { Slots } from '../../../../src/log/kafka/queue/slots.ts';

const never = new AbortController().signal;

describe('Slots', () => {
  it('gives out no more than there are, in the order they were asked for', async () => {
    const slots = new Slots(2);
    const got: number[] = [];
    const asked = [0, 1, 2, 3].map((i) => slots.acquire(never).then(() => got.push(i)));
    await Promise.all(asked.slice(0, 2));
    assert.deepEqual(got, [0, 1]);
    slots.release();
    await asked[2];
    assert.deepEqual(got, [0, 1, 2]);
    slots.release();
    await asked[3];
    assert.deepEqual(got, [0, 1, 2, 3]);
  });

  it('forgets who gave up waiting', async () => {
    const slots = new Slots(1);
    await slots.acquire(never);
    const gaveUp = new AbortController();
    const first = slots.acquire(gaveUp.signal);
    const second = slots.acquire(never);
    gaveUp.abort();
    await assert.rejects(first, { name: 'AbortError' });
    slots.release();
    await second;
  });
});
