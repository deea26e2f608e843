import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import type { SubmitRequest } from '../../src/jobs/job.ts';
import { MemoryJobs } from './memory-jobs.ts';
import { oddBytes } from './odd-bytes.ts';
import { oddRequest } from './odd-requests.ts';
import type { OddRequest } from './odd-requests.ts';
import { runGateway } from './running-gateway.ts';
import type { RunningGateway } from './running-gateway.ts';

const REQUESTS = 20_000;
const RAW_REQUESTS = 3_000;

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Counts, and takes only what PostgreSQL can keep. */
class StrictJobs extends MemoryJobs {
  started = 0;

  override submit(request: SubmitRequest): Promise<string> {
    const json = JSON.stringify(request, (_key, value: unknown) => {
      if (typeof value === 'string') assert.ok(value.isWellFormed() && !value.includes('\0'), 'not storable');
      return value;
    });
    assert.ok(json.length < 4_000_000, 'larger than any message may be');
    this.started++;
    this.views.clear();
    return super.submit(request);
  }
}

describe('kick-off under odd requests', () => {
  let gateway: RunningGateway;
  let agent: Agent;
  const jobs = new StrictJobs();
  before(async () => {
    gateway = await runGateway({}, jobs);
    agent = new Agent({ keepAlive: true, maxSockets: 1 });
  });
  after(async () => {
    agent.destroy();
    await gateway.stop();
  });

  async function send(odd: OddRequest): Promise<Answer> {
    const { hostname, port, host } = new URL(gateway.url);
    const has = (name: string): boolean => odd.headers.some((one) => one.toLowerCase() === name);
    const headers = [
      ...(has('host') ? [] : ['Host', host]),
      ...(odd.body && !has('transfer-encoding') ? ['Content-Length', String(odd.body.length)] : []),
      ...odd.headers,
    ];
    const request = httpRequest({ agent, hostname, port, method: odd.method, path: odd.path, headers });
    // What Node's parser refuses is answered with a body, also to HEAD: the parser does not tell the method.
    request.on('error', () => undefined);
    request.end(odd.body);
    try {
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) };
    } catch (error) {
      // The server had closed the connection after the request before.
      if (request.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET') return send(odd);
      throw error;
    }
  }

  it(`never fails, names what is wrong and starts nothing unless it says 202, in ${REQUESTS} requests`, async function () {
    this.timeout(900_000); // a minute where nothing else runs
    const statuses = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(oddRequest, async (odd) => {
        const before = jobs.started;
        const answer = await send(odd);
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        assert.equal(jobs.started - before, answer.status === 202 ? 1 : 0);
        if (answer.status === 202)
          assert.match(answer.headers['content-location'] ?? '', /\$export-status\//);
        else if (odd.method !== 'OPTIONS' || answer.status !== 204) assertRefusal(answer, odd);
      }),
      { numRuns: REQUESTS },
    );
    console.log(`      statuses: ${JSON.stringify(Object.fromEntries(statuses))}`);
    for (const status of [202, 204, 400, 404, 405, 417]) assert.ok(statuses.has(status), String(status));
  });

  /** undefined when TCP has dropped the answer: who sends on after the last request of a connection is reset. */
  async function sendBytes(bytes: string): Promise<string | undefined> {
    const { hostname, port } = new URL(gateway.url);
    const socket = connect({ host: hostname, port: Number(port) });
    socket.end(bytes, 'latin1');
    try {
      return await text(socket);
    } catch (error) {
      const wentOn = /\r?\n\r?\n[^]/.test(bytes);
      if (wentOn && (error as NodeJS.ErrnoException).code === 'ECONNRESET') return undefined;
      throw error;
    }
  }

  it(`answers bytes that are no HTTP with OperationOutcomes and starts nothing by them, in ${RAW_REQUESTS} connections`, async function () {
    this.timeout(120_000);
    const statuses = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(oddBytes, async (bytes) => {
        const before = jobs.started;
        const answers = await sendBytes(bytes);
        if (answers === undefined) return;
        const answered = [...answers.matchAll(/HTTP\/1\.1 ([2-5]\d\d) [A-Z]/g)].map(
          ([, status]) => status ?? '',
        );
        for (const status of answered) statuses.set(status, (statuses.get(status) ?? 0) + 1);
        const accepted = answered.filter((status) => status === '202');
        assert.equal(jobs.started - before, accepted.length, answers);
        const outcomes = [...answers.matchAll(/\{"resourceType":"OperationOutcome",/g)];
        assert.equal(outcomes.length, answered.length, answers);
        assert.ok(
          answered.every((status) => status === '202' || status.startsWith('4')),
          answers,
        );
        // Node does not answer a client that ends in the middle of a body after offering to change the protocol.
        const unanswerable = /^[\r\n]*$/.test(bytes) || bytes.includes('\r\nUpgrade:');
        assert.ok(answered.length > 0 || unanswerable, 'no answer');
      }),
      { numRuns: RAW_REQUESTS },
    );
    console.log(`      statuses: ${JSON.stringify(Object.fromEntries(statuses))}`);
    for (const status of ['202', '400', '405', '431']) assert.ok(statuses.has(status), status);
  });
});

function assertRefusal({ status, headers, body }: Answer, { method, subjects }: OddRequest): void {
  assert.ok(status >= 400 && status < 500, `${status} ${body}`);
  if (method === 'HEAD') return;
  const diagnostics = diagnosticsOf(headers['content-type'], body);
  assert.ok(
    subjects.some((subject) => diagnostics.includes(subject)),
    `names none of ${JSON.stringify(subjects)}: ${diagnostics}`,
  );
}

function diagnosticsOf(contentType: string | undefined, body: string): string {
  // Plain JSON for who asks for that, or wants no FHIR.
  assert.match(contentType ?? '', /^application\/(fhir\+)?json/);
  const { resourceType, issue } = JSON.parse(body) as {
    resourceType: string;
    issue: { severity: string; diagnostics: string }[];
  };
  assert.equal(resourceType, 'OperationOutcome');
  assert.equal(issue[0]?.severity, 'error');
  assert.ok(issue[0].diagnostics.length < 1_000, 'readable');
  return issue[0].diagnostics;
}
