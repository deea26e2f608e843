import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import {
  busyPortsLine,
  canListen,
  DEFAULT_PORTS,
  freePort,
  freePorts,
  PORT_NAMES,
  portsForPeople,
} from '../../src/stack/ports.ts';

describe('the ports of the stack', () => {
  it('are fixed for people without settings', () => {
    assert.deepEqual(portsForPeople({}), DEFAULT_PORTS);
  });

  it('come from the caller, else from the environment', () => {
    const env = { HEADWATER_STACK_POSTGRES_PORT: '6001', HEADWATER_STACK_KAFKA_CONTROLLER_PORT: '6002' };
    assert.deepEqual(portsForPeople(env), { ...DEFAULT_PORTS, postgres: 6001, controller: 6002 });
    assert.equal(portsForPeople(env, { postgres: 6003 }).postgres, 6003);
  });

  for (const text of ['0', '65536', 'x', '12.5', '-1']) {
    it(`names the setting when a port is "${text}"`, () => {
      assert.throws(
        () => portsForPeople({ HEADWATER_STACK_REGISTRY_PORT: text }),
        /HEADWATER_STACK_REGISTRY_PORT is .* 1 to 65535/,
      );
    });
  }

  it('finds free, different ports below those of outgoing connections for tests', async () => {
    const ports = await freePorts();
    assert.equal(new Set(Object.values(ports)).size, PORT_NAMES.length);
    for (const name of PORT_NAMES) {
      assert.ok(ports[name] >= 20_000 && ports[name] < 32_000);
      assert.ok(await canListen(ports[name]));
    }
  });

  it('names the ports in use and their settings in one line', async () => {
    const port = await freePort();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    try {
      const line = await busyPortsLine({ ...(await freePorts()), kafka: port }, PORT_NAMES);
      assert.ok(line?.includes(`${String(port)} (kafka, HEADWATER_STACK_KAFKA_PORT)`));
      assert.ok(!line?.includes('\n'));
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    assert.equal(await busyPortsLine({ ...(await freePorts()), kafka: port }, PORT_NAMES), undefined);
  });
});
