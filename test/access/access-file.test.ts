import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { readAccessFile } from '../../src/access/access-file.ts';
import { accessFileJsonSchema } from '../../src/access/access-schema.ts';

const ROLE = { export: { levels: ['system'] }, rules: [{ id: 'all', types: '*', where: 'everything' }] };
const KEYS = { keys: [] };
const GOOD = {
  version: 1,
  issuers: { embedded: {} },
  clients: { a: { jwks: KEYS, scopes: ['system/*.rs'], roles: ['service'] } },
  roles: { service: ROLE },
};

describe('the access file', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headwater-access-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function read(content: object | string): ReturnType<typeof readAccessFile> {
    const path = join(folder, 'access.yaml');
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
    return readAccessFile(path);
  }

  async function problems(content: object | string): Promise<string[]> {
    const error: unknown = await read(content).then(
      () => assert.fail('it is good'),
      (reason: unknown) => reason,
    );
    assert.equal((error as { code: string }).code, 'bad-config');
    return (error as Error).message.split('\n').map((line) => line.replace(/^\S+access\.yaml: /, ''));
  }

  const withRule = (rule: object, levels = ['system']) => ({
    ...GOOD,
    roles: {
      service: {
        export: { levels, groups: '*' },
        rules: [{ id: 'one', types: '*', where: 'everything', ...rule }],
      },
    },
  });

  it('is good as the documentation shows it, by itself and by its JSON Schema', async () => {
    const page = await readFile(new URL('../../docs/access.md', import.meta.url), 'utf8');
    const files = [...page.matchAll(/```yaml\n(version: 1\n.*?)```/gs)].map(([, yaml]) => yaml ?? '');
    assert.equal(files.length, 2);
    for (const name of ['warehouse', 'research', 'acme'])
      await writeFile(join(folder, `${name}.jwks.json`), JSON.stringify(KEYS));
    const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(accessFileJsonSchema());
    for (const file of files) {
      const { roles } = await read(file);
      assert(roles.size > 0);
      assert(validate(parse(file)), JSON.stringify(validate.errors));
    }
    assert.equal(validate({ ...GOOD, colour: 'blue' }), false);
  });

  it('has another hash when it or a file that it names changes', async () => {
    const content = {
      ...GOOD,
      clients: { a: { jwksFile: 'a.json', scopes: ['system/*.rs'], roles: ['service'] } },
    };
    await writeFile(join(folder, 'a.json'), JSON.stringify(KEYS));
    const { hash } = await read(content);
    assert.match(hash, /^[0-9a-f]{64}$/);
    assert.equal((await read(content)).hash, hash);
    await writeFile(join(folder, 'a.json'), JSON.stringify({ keys: [{ kty: 'EC', kid: 'x' }] }));
    assert.notEqual((await read(content)).hash, hash);
  });

  it('has keys by name and fingerprint only', async () => {
    const keys = await mkdtemp(join(tmpdir(), 'headwater-keys-'));
    const secret = 'a secret of at least thirty-two bytes';
    await writeFile(join(keys, 'k'), `${secret}\n`);
    await writeFile(join(keys, 'short'), 'abc\n');
    const path = join(folder, 'access.yaml');
    const hashing = (key: string): object =>
      withRule({ types: ['Patient'], redact: [{ path: 'identifier', do: 'hash', key }] });
    await writeFile(path, JSON.stringify(hashing('k')));
    const policy = await readAccessFile(path, keys);
    const key = policy.roles.get('service')?.rules[0]?.redact[0]?.key;
    assert.match(key?.fingerprint ?? '', /^[0-9a-f]{16}$/);
    assert(!JSON.stringify(key).includes(secret));
    for (const [name, says] of [
      ['short', /shorter than 32 bytes/],
      ['none', /cannot read/],
    ] as const) {
      await writeFile(path, JSON.stringify(hashing(name)));
      await assert.rejects(readAccessFile(path, keys), says);
    }
    await rm(keys, { recursive: true });
  });

  for (const [what, content, says] of [
    ['unknown key', { ...GOOD, colour: 'blue' }, /the file: .*colour/],
    ['unknown key in a rule', withRule({ colour: 'blue' }), /roles\.service\.rules\.0: .*colour/],
    ['key twice', 'version: 1\nversion: 1\n', /unique/],
    ['alias', 'a: &x 1\nb: *x\n', /alias/],
    ['no YAML', '{', /./],
    ['unknown type', withRule({ types: ['Pateint'] }), /no resource type "Pateint"/],
    [
      'unknown role',
      { ...GOOD, clients: { a: { jwks: KEYS, scopes: ['x'], roles: ['boss'] } } },
      /clients\.a\.roles: there is no role "boss"/,
    ],
    [
      'two places of keys',
      {
        ...GOOD,
        clients: { a: { jwks: KEYS, jwksUrl: 'https://x.example', scopes: ['x'], roles: ['service'] } },
      },
      /give one of/,
    ],
    ['no key', { ...GOOD, clients: { a: { scopes: ['x'], roles: ['service'] } } }, /give one of/],
    [
      'secret key',
      {
        ...GOOD,
        clients: { a: { jwks: { keys: [{ kty: 'oct', k: 'x' }] }, scopes: ['x'], roles: ['service'] } },
      },
      /secret/,
    ],
    [
      'missing file',
      { ...GOOD, clients: { a: { jwksFile: 'none.json', scopes: ['x'], roles: ['service'] } } },
      /clients\.a\.jwksFile: cannot read/,
    ],
    ['no issuer', { ...GOOD, issuers: {}, clients: {} }, /issuers: there is none/],
    ['clients without issuer', { ...GOOD, issuers: {} }, /clients: they get their tokens/],
    [
      'rule that never applies',
      {
        ...GOOD,
        roles: {
          service: {
            ...ROLE,
            rules: [...ROLE.rules, { id: 'more', types: ['Patient'], where: { compartment: 'any' } }],
          },
        },
      },
      /service\.rules\.more: it never applies, because all/,
    ],
    [
      'rule twice',
      {
        ...GOOD,
        roles: {
          service: {
            ...ROLE,
            rules: [
              { id: 'all', types: ['Patient'], where: 'everything' },
              { id: 'all', types: ['Group'], where: 'everything' },
            ],
          },
        },
      },
      /"all" occurs twice/,
    ],
    ['deny alone', withRule({ effect: 'deny' }), /none of them allows/],
    [
      'deny with redaction',
      withRule({ effect: 'deny', redact: [{ path: 'text', do: 'remove' }] }),
      /a deny rule lets nothing through/,
    ],
    ['exclude of everything', withRule({ shared: 'exclude' }), /exclude is for rules about some patients/],
    [
      'groups of none',
      { ...GOOD, roles: { service: { ...ROLE, export: { levels: ['group'] } } } },
      /name the Groups/,
    ],
    [
      'mandatory element',
      withRule({ types: ['Observation'], redact: [{ path: 'status', do: 'remove' }] }),
      /Observation\.status is mandatory/,
    ],
    ['id', withRule({ redact: [{ path: 'id', do: 'remove' }] }), /id cannot be redacted/],
    [
      'mandatory nested element',
      withRule({ types: ['Patient'], redact: [{ path: 'link.other', do: 'remove' }] }),
      /Patient\.link\.other is mandatory/,
    ],
    [
      'key without a folder',
      withRule({ types: ['Patient'], redact: [{ path: 'identifier', do: 'hash', key: 'k' }] }),
      /HEADWATER_KEYS_FOLDER is not set/,
    ],
    ['lifetime', { ...GOOD, issuers: { embedded: { expiresIn: 3600 } } }, /expiresIn/],
    ['tolerance', { ...GOOD, issuers: { embedded: { tolerance: 121 } } }, /tolerance/],
    ['name with a line break', { ...GOOD, roles: { 'a\nb': ROLE } }, /roles\.a\?b: Invalid key/],
  ] as const)
    it(`stops the start and says where: ${what}`, async () => {
      assert.match((await problems(content)).join('\n'), says);
    });

  it('tells all problems at once, a line each', async () => {
    const lines = await problems({
      ...GOOD,
      clients: { a: { jwks: KEYS, scopes: ['x'], roles: ['b', 'c'] } },
    });
    assert.equal(lines.length, 2);
  });
});
