import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Deployment } from '../faults/deployment.ts';
import { SourceWriter } from '../faults/source-writer.ts';
import { prepareNginx, startNginx } from '../support/nginx.ts';
import type { Nginx } from '../support/nginx.ts';
import { freePort } from '../../src/stack/ports.ts';
import { sharedStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const INSTALL_MS = 180_000;
/** The nginx configurations of docs/proxy.md. */
const [SERVER = '', REWRITE = ''] = [
  ...readFileSync(new URL('../../docs/proxy.md', import.meta.url), 'utf8').matchAll(
    /```nginx\n([\s\S]*?)```/g,
  ),
].map(([, text]) => text ?? '');

describe('nginx before a FHIR server and Headwater', function () {
  this.timeout(240_000);
  let deployment: Deployment;
  let fhirServer: Server;
  let nginx: Nginx;

  before(async function () {
    this.timeout(INSTALL_MS);
    const missing = await prepareNginx();
    if (missing === undefined) return;
    console.log(`      nginx is skipped: ${missing}`);
    this.skip();
  });

  before(async () => {
    fhirServer = createServer(({ url, headers }, response) => {
      response.end(JSON.stringify({ url, proto: headers['x-forwarded-proto'] }));
    });
    await new Promise<void>((done) => void fhirServer.listen(0, '127.0.0.1', done));
  });

  after(() => fhirServer?.close());

  afterEach(async () => {
    await nginx?.stop();
    await deployment?.remove();
  });

  /** Starts nginx by a configuration for the ports of docs/proxy.md, and Headwater behind it. */
  async function start(server: string, path: string): Promise<string> {
    const [port, { port: fhirPort }] = [await freePort(), fhirServer.address() as AddressInfo];
    const text = server.replaceAll('127.0.0.1:8088', `127.0.0.1:${port}`);
    nginx = await startNginx(text.replaceAll('127.0.0.1:8080', `127.0.0.1:${fhirPort}`));
    deployment = await Deployment.create(sharedStack(), {
      HEADWATER_HTTP_PORT: String(port),
      HEADWATER_PUBLIC_URL: nginx.url + path,
    });
    const writer = await SourceWriter.create(deployment.databaseUrl);
    await writer.bulk('Patient', 'p', 50);
    await writer.close();
    deployment.start();
    await until('readiness', async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok);
    return nginx.url;
  }

  function get(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(url, { headers, ca: nginx.certificate }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (part: string) => (body += part));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        );
      });
      sent.on('error', reject).end();
    });
  }

  /** Exports through nginx. Returns the lines of the first file. */
  async function exported(kickOff: string): Promise<string[]> {
    const accepted = await get(kickOff, { prefer: 'respond-async', accept: 'application/fhir+json' });
    assert.equal(accepted.status, 202, accepted.body);
    const status = accepted.headers['content-location'] ?? '';
    assert.ok(status.startsWith(nginx.url), status);
    const complete = await until('the manifest', async () => {
      const answer = await get(status);
      return answer.status === 200 ? answer : undefined;
    });
    const [file] = (JSON.parse(complete.body) as { output: { url: string }[] }).output;
    const url = file?.url ?? '';
    assert.ok(url.startsWith(nginx.url), url);
    return (await get(url)).body.split('\n').slice(0, -1);
  }

  it('sends every part of an export to Headwater, and the rest to the server', async () => {
    const url = await start(SERVER, '');
    assert.equal((await exported(`${url}/fhir/$export?_type=Patient`)).length, 50);
    assert.equal((await exported(`${url}/fhir/Patient/$export`)).length, 50);
    assert.equal((await get(`${url}/fhir/Group/none/$export`, { prefer: 'respond-async' })).status, 404);
    for (const path of [
      '/fhir/Patient/p1',
      '/fhir/metadata',
      '/fhir/Patient?name=export',
      '/metrics',
      '/admin/storage/health',
    ])
      assert.deepEqual(JSON.parse((await get(url + path)).body), { url: path, proto: 'https' });
  });

  it('serves a base with another path', async () => {
    const [first, ...rest] = SERVER.replace('^/fhir/(.+/)?', '^/baseR4/(fhir/)?(.+/)?').split(
      '    proxy_pass',
    );
    const url = await start([`${first ?? ''}${REWRITE}`, ...rest].join('    proxy_pass'), '/baseR4');
    assert.equal((await exported(`${url}/baseR4/$export?_type=Patient`)).length, 50);
    assert.equal(
      (JSON.parse((await get(`${url}/baseR4/Patient/p1`)).body) as { url: string }).url,
      '/baseR4/Patient/p1',
    );
  });
});
