import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseSettings } from '../../src/config/settings.ts';
import { stackDownCommand } from '../../src/main/commands.ts';
import { announceService, localServer } from '../../src/main/local.ts';
import { whatToTry } from '../../src/main/start.ts';
import { OWNER_KEY } from '../../src/storage/owner.ts';

const DEFAULT = `${parseSettings({}, []).publicUrl}/fhir`;
const ELSEWHERE = 'http://127.0.0.1:18099';

describe('commands on this machine', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'headwater-local-'));
  });
  afterEach(() => {
    delete process.env['HEADWATER_HTTP_PORT'];
    rmSync(directory, { recursive: true, force: true });
  });

  it('find the running service on whatever port it serves, until it ends', () => {
    assert.equal(localServer(directory), DEFAULT);
    const forget = announceService(ELSEWHERE, directory);
    assert.equal(localServer(directory), `${ELSEWHERE}/fhir`);
    forget();
    assert.equal(localServer(directory), DEFAULT);
  });

  it('do not look for a service whose process is gone', () => {
    const gone = { publicUrl: ELSEWHERE, process: { pid: 2 ** 22 + 1, identity: 'gone' } };
    writeFileSync(join(directory, 'service.json'), JSON.stringify(gone));
    assert.equal(localServer(directory), DEFAULT);
  });

  it('go where the environment says, whatever runs', () => {
    announceService(ELSEWHERE, directory);
    process.env['HEADWATER_HTTP_PORT'] = '18077';
    assert.equal(localServer(directory), 'http://127.0.0.1:18077/fhir');
  });

  it('are printed by start with the port that was chosen', () => {
    const settings = parseSettings({ HEADWATER_HTTP_PORT: '18077' }, []);
    const addresses = whatToTry(settings).match(/http:[^\s'$]+/g) ?? [];
    assert.ok(addresses.length >= 4);
    for (const address of addresses) assert.equal(new URL(address).host, '127.0.0.1:18077');
    assert.match(whatToTry(settings), /export --server http:\/\/127\.0\.0\.1:18077\/fhir /);
  });

  it('remove the export files and the note whose they are with the data of the stack, and only then', async () => {
    const files = join(directory, 'files');
    mkdirSync(join(files, 'job'), { recursive: true });
    writeFileSync(join(files, OWNER_KEY), '{"name":"headwater","id":"x"}');
    writeFileSync(join(files, 'job', 'Patient-0001-1.ndjson'), '{}');
    await stackDownCommand({ json: true, directory });
    assert.ok(existsSync(join(files, OWNER_KEY)));
    await stackDownCommand({ json: true, directory, deleteData: true });
    assert.ok(!existsSync(files));
  });
});
