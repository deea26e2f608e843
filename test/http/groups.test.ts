import assert from 'node:assert/strict';
import { accessOf, TestClient, tokenForm } from '../access/clients.ts';
import { groupsOf } from './memory-groups.ts';
import { MemoryJobs } from './memory-jobs.ts';
import { assertOutcome, runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

interface Bundle {
  readonly total: number;
  readonly link: readonly { readonly relation: string; readonly url: string }[];
  readonly entry?: readonly {
    readonly fullUrl: string;
    readonly resource: { readonly id: string; readonly member?: object };
  }[];
}

const IDS = Array.from({ length: 45 }, (_, i) => `g${String(i).padStart(2, '0')}`);
const role = (export_: object, rules: readonly object[]) => ({ export: export_, rules });
const ALL = { id: 'all', types: '*', where: 'everything' };

describe('the Groups that a client may export', () => {
  let open: RunningGateway;
  let closed: RunningGateway;
  const clients = new Map<string, TestClient>();

  before(async () => {
    open = await runGateway({}, new MemoryJobs(), undefined, groupsOf(IDS));
    for (const id of ['service', 'research', 'sponsor', 'system', 'narrow'])
      clients.set(id, await TestClient.make(id));
    const entry = async (id: string, more = {}) => ({
      ...{ jwks: await clients.get(id)?.jwks(), scopes: ['system/*.rs'], roles: [id], ...more },
    });
    const content = {
      version: 1,
      issuers: { embedded: {} },
      clients: {
        service: await entry('service'),
        research: await entry('research'),
        sponsor: await entry('sponsor', { attributes: { groups: ['g07', 'gone'] } }),
        system: await entry('system'),
        narrow: await entry('narrow', { roles: ['service'], scopes: ['system/Patient.rs'] }),
      },
      roles: {
        service: role({ levels: ['group'], groups: '*' }, [ALL]),
        research: role({ levels: ['group'], groups: '*' }, [
          { id: 'no', effect: 'deny', types: ['Group'], where: 'everything' },
          ALL,
        ]),
        sponsor: role({ levels: ['group'], groups: { claim: 'groups' } }, [
          { id: 'arm', types: ['Patient'], where: { group: { claim: 'groups' } } },
        ]),
        system: role({ levels: ['system'] }, [ALL]),
      },
    };
    closed = await runGateway(
      {},
      new MemoryJobs(),
      async (url) => (await accessOf(content, { baseUrl: `${url}/fhir` })).access,
      groupsOf(IDS),
    );
  });
  after(async () => {
    await open.stop();
    await closed.stop();
  });

  async function ask(id: string, path: string): Promise<Response> {
    const url = `${closed.url}/fhir/auth/token`;
    const assertion = await (clients.get(id) ?? assert.fail(id)).assertion(url);
    const answer = await fetch(url, { method: 'POST', body: tokenForm(assertion) });
    const { access_token: token } = (await answer.json()) as { access_token: string };
    return closed.ask(path, { headers: { authorization: `Bearer ${token}` } });
  }

  it('are listed over pages, each once, with their own bytes', async () => {
    const seen: string[] = [];
    let next: string | undefined = '/fhir/Group?_count=20';
    for (let pages = 0; next !== undefined; pages++) {
      assert(pages < 3);
      const text: string = await (await open.ask(next)).text();
      const { total, entry = [], link } = JSON.parse(text) as Bundle;
      assert.equal(total, IDS.length);
      assert.match(text, /"quantity":1\.0,/, 'numbers keep their digits');
      for (const { fullUrl, resource } of entry) {
        assert.equal(fullUrl, `${open.url}/fhir/Group/${resource.id}`);
        seen.push(resource.id);
      }
      next = link.find(({ relation }) => relation === 'next')?.url;
    }
    assert.deepEqual(seen, IDS);
    const some = (await (await open.ask('/fhir/Group?_id=g03,none,g01')).json()) as Bundle;
    assert.deepEqual(
      some.entry?.map(({ resource }) => resource.id),
      ['g01', 'g03'],
    );
    const none = (await (await open.ask('/fhir/Group?_count=0')).json()) as Bundle;
    assert.deepEqual([none.total, none.entry], [IDS.length, undefined]);
  });

  it('are read by id, and a parameter or id that is not understood is refused', async () => {
    const read = await open.ask('/fhir/Group/g01');
    assert.match(await read.text(), /^\{"resourceType":"Group","id":"g01"/);
    await assertOutcome(await open.ask('/fhir/Group/none'), 404, /Group\/"none"/);
    await assertOutcome(await open.ask('/fhir/Group?name=x'), 400, /"name" is not supported/);
    await assertOutcome(await open.ask('/fhir/Group?_count=x'), 400, /_count/);
    await assertOutcome(await closed.ask('/fhir/Group'), 401, /access token/);
  });

  it('are not there in a gateway without the log', async () => {
    const without = await runGateway();
    try {
      await assertOutcome(await without.ask('/fhir/Group'), 404, /HEADWATER_KAFKA_BROKERS/);
    } finally {
      await without.stop();
    }
  });

  it('are those of the role; to others they do not exist', async () => {
    const list = (await (await ask('sponsor', '/fhir/Group')).json()) as Bundle;
    assert.equal(list.total, 1);
    assert.deepEqual(
      list.entry?.map(({ resource }) => resource.id),
      ['g07'],
    );
    assert.equal((await ask('sponsor', '/fhir/Group/g07')).status, 200);
    const texts = await Promise.all(
      ['g08', 'never', 'gone'].map(async (id) => {
        const answer = await ask('sponsor', `/fhir/Group/${id}`);
        assert.equal(answer.status, 404);
        return (await answer.text()).replace(id, 'X');
      }),
    );
    assert.equal(new Set(texts).size, 1);
    assert.equal(((await (await ask('system', '/fhir/Group')).json()) as Bundle).total, 0);
    assert.equal((await ask('narrow', '/fhir/Group')).status, 403);
  });

  it('show their members only where a rule lets the client have Groups as they are', async () => {
    for (const [id, whole] of [
      ['service', true],
      ['research', false],
      ['sponsor', false],
    ] as const)
      for (const path of ['/fhir/Group/g07', '/fhir/Group?_id=g07']) {
        const text = await (await ask(id, path)).text();
        assert.equal(text.includes('Patient/p1'), whole, `${id} ${path}`);
        assert.equal(text.includes('SUBSETTED'), !whole);
      }
  });
});
