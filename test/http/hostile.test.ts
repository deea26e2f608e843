import assert from 'node:assert/strict';
import { accessOf, TestClient, tokenForm } from '../access/clients.ts';
import { Random } from '../e2e/random.ts';
import { MemoryJobs } from './memory-jobs.ts';
import { runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

const REQUESTS = Number(process.env['HEADWATER_TEST_HOSTILE'] ?? 3_000);
const AT_A_TIME = 20;
/** In MB: what the heap may grow by, whatever the number of requests. */
const GROWTH = 80;

/** The last letter of a part has bits that no byte uses, so other letters may mean the same token. */
function isSame(one: string, other: string): boolean {
  const parts = (text: string): string =>
    text
      .split('.')
      .map((part) => Buffer.from(part, 'base64url').toString('hex'))
      .join('.');
  return one === other || parts(one) === parts(other);
}

describe('a gateway under hostile requests', function () {
  this.timeout(60_000 + REQUESTS * 10);
  const random = new Random(7);
  const jobs = new MemoryJobs();
  let gateway: RunningGateway;
  let client: TestClient;
  let token: string;
  let assertion: string;

  before(async () => {
    client = await TestClient.make('warehouse');
    const content = {
      version: 1,
      issuers: { embedded: {} },
      clients: { warehouse: { jwks: await client.jwks(), scopes: ['system/*.rs'], roles: ['service'] } },
      roles: {
        service: { export: { levels: ['system'] }, rules: [{ id: 'all', types: '*', where: 'everything' }] },
      },
    };
    gateway = await runGateway(
      {},
      jobs,
      async (url) => (await accessOf(content, { baseUrl: `${url}/fhir` })).access,
    );
    assertion = await client.assertion(`${gateway.url}/fhir/auth/token`);
    const answer = await fetch(`${gateway.url}/fhir/auth/token`, {
      method: 'POST',
      body: tokenForm(assertion),
    });
    token = ((await answer.json()) as { access_token: string }).access_token;
  });
  after(() => gateway.stop());

  /** A good text with some letters changed, left out or doubled, or something else. */
  function spoiled(good: string): string {
    const at = random.int(0, good.length - 1);
    const letter = random.pick(['A', 'z', '.', '-', '_', '0', '=', '%00', ' ']);
    const bad = random.pick([
      good.slice(0, at) + letter + good.slice(at + 1),
      good.slice(0, at) + good.slice(at + 1),
      good.slice(0, at),
      good.slice(0, at) + good,
      good.split('.').reverse().join('.'),
      letter.repeat(random.int(1, 9_000)),
      'x',
    ]);
    return isSame(bad, good) ? 'x' : bad;
  }

  function hostile(): Promise<Response> {
    const authorization =
      random.pick(['Bearer ', 'bearer ', 'Basic ', '']) + spoiled(token).replaceAll(/[^\x21-\x7e]/g, '');
    const headers = { authorization, prefer: 'respond-async' };
    const id = random.pick(['job-1', '..', '%2e%2e', 'x'.repeat(300), '%00', '1;DROP']);
    return random.pick([
      () => fetch(`${gateway.url}/fhir/auth/token`, { method: 'POST', body: tokenForm(spoiled(assertion)) }),
      () =>
        fetch(`${gateway.url}/fhir/auth/token`, {
          method: 'POST',
          body: spoiled(token),
          headers: {
            'content-type': random.pick(['application/x-www-form-urlencoded', 'application/json', 'x/y']),
          },
        }),
      () => gateway.ask(`/fhir/$export?_type=${spoiled('Patient')}`, { headers }),
      () =>
        gateway.ask('/fhir/$export', {
          method: 'POST',
          headers,
          body: spoiled('{"resourceType":"Parameters"}'),
        }),
      () => gateway.ask(`/fhir/$export-status/${id}`, { headers, method: random.pick(['GET', 'DELETE']) }),
      () =>
        gateway.ask(`/fhir/$export-file/${id}/a.ndjson?expires=9999999999&signature=${spoiled('c2ln')}`, {
          headers,
        }),
      () => gateway.ask(`/fhir/Group/${id}`, { headers }),
    ])();
  }

  it('gives neither a job nor an error of its own, keeps its memory, and logs none of the secrets', async () => {
    const statuses = new Map<number, number>();
    const heaps: number[] = [];
    for (let done = 0; done < REQUESTS; done += AT_A_TIME) {
      const answers = await Promise.all(Array.from({ length: AT_A_TIME }, hostile));
      for (const answer of answers) {
        const text = await answer.text();
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        assert(answer.status < 500, text);
        assert(!text.includes(token) && !text.includes(assertion), 'an answer holds a secret');
      }
      if (done % 1_000 === 0) heaps.push(process.memoryUsage().heapUsed / 1e6);
    }
    console.log(`      statuses: ${JSON.stringify(Object.fromEntries([...statuses].sort()))}`);
    assert.deepEqual(
      [...statuses.keys()].filter((status) => status < 300),
      [],
    );
    assert.equal(jobs.views.size, 0);
    const logged = gateway.logged.join('\n');
    for (const secret of [token, assertion, ...assertion.split('.').slice(2)])
      assert(!logged.includes(secret));
    const [first = 0] = heaps;
    assert(
      Math.min(...heaps.slice(-3)) < first + GROWTH,
      `the heap grows: ${heaps.map(Math.round).join(' ')}`,
    );
  });
});
