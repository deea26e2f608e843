import assert from 'node:assert/strict';
import type { Context } from 'koa';
import { clientOf } from '../../src/http/client.ts';

const from = async (remoteAddress: string | undefined): Promise<string> =>
  (await clientOf({ req: { socket: { remoteAddress } } } as unknown as Context, undefined)).id;

describe('a client known by its address', () => {
  it('is the same by IPv4, by IPv6 and by IPv4 inside IPv6', async () => {
    for (const own of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) assert.equal(await from(own), '127.0.0.1');
    for (const other of ['192.0.2.7', '::ffff:192.0.2.7']) assert.equal(await from(other), '192.0.2.7');
  });

  it('is another one by another address', async () => {
    assert.notEqual(await from('2001:db8::1'), await from('::1'));
    assert.notEqual(await from('192.0.2.7'), await from('192.0.2.8'));
    assert.equal(await from(undefined), 'unknown');
  });
});
