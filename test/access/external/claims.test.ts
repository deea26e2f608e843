import assert from 'node:assert/strict';
import fc from 'fast-check';
import { identityOf } from '../../../src/access/external/claims.ts';
import type { ExternalIssuer } from '../../../src/access/policy.ts';
import { HeadwaterError } from '../../../src/base/errors.ts';

const ISSUER: ExternalIssuer = {
  ...{ name: 'hospital', issuer: 'https://id.example.org', validate: 'jwt', algorithms: ['ES256'] },
  audience: 'https://export.example.org/fhir',
  claims: {
    ...{ client: 'client_id', roles: 'realm_access.roles', scope: 'scope', patient: 'context.patient' },
    attributes: { groups: 'groups', site: 'https://example.org/site' },
  },
  roles: new Map([
    ['admin', 'operator'],
    ['member', 'patient'],
    ['subscriber', 'patient'],
  ]),
  allowedJwksHosts: [],
};

const of = (claims: object) => identityOf({ client_id: 'portal', ...claims }, ISSUER);
const refuses = (claims: object) =>
  assert.throws(() => of(claims), { name: 'HeadwaterError', code: 'invalid-token' }, JSON.stringify(claims));

describe('the claims of a token', () => {
  it('are found at paths with dots, and by names that have dots', () => {
    const identity = of({
      realm_access: { roles: ['member'] },
      context: { patient: 'Patient/p1' },
      'https://example.org/site': 'north',
    });
    assert.deepEqual([identity.roles, identity.patient], [['patient'], 'p1']);
    assert.deepEqual(identity.attributes, { groups: [], site: ['north'] });
  });

  it('become roles in the order of the access file, each once, and unknown ones count for nothing', () => {
    assert.deepEqual(of({ realm_access: { roles: ['other', 'member', 'admin'] } }).roles, [
      'operator',
      'patient',
    ]);
    assert.deepEqual(of({ realm_access: { roles: ['subscriber', 'member'] } }).roles, ['patient']);
    assert.deepEqual(of({ realm_access: { roles: 'member' } }).roles, ['patient']);
    assert.deepEqual(of({ realm_access: { roles: 'member admin' } }).roles, []);
    assert.deepEqual(of({ realm_access: 'member' }).roles, []);
  });

  it('become scopes from one text or a list, also when there are as many as a token can hold', () => {
    assert.deepEqual(of({ scope: ' system/*.rs  openid ' }).scopes, ['system/*.rs', 'openid']);
    assert.deepEqual(of({ scope: ['system/*.rs', 'openid'] }).scopes, ['system/*.rs', 'openid']);
    assert.deepEqual(of({ scope: '' }).scopes, []);
    const many = Array.from({ length: 200 }, (_, i) => `system/Type${i}.rs`);
    assert.deepEqual(of({ scope: many.join(' ') }).scopes, many);
  });

  it('name a patient by id, reference or URL, and nothing else', () => {
    for (const patient of ['p1', 'Patient/p1', 'https://fhir.example.org/r4/Patient/p1'])
      assert.equal(of({ context: { patient } }).patient, 'p1');
    assert.equal(of({}).patient, undefined);
    for (const patient of [
      ...['', 'Patient/', 'Group/p1', 'https://fhir.example.org/Group/p1', 'Patient/p1/', 'Patient/p1?x=1'],
      ...['a/Patient/p1', 'patient/p1', 'Patient/p1 ', '*', 'Patient/*', 'p1\n', 'p_1', 'x'.repeat(65)],
      ...[5, true, null, ['p1'], ['p1', 'p2'], { id: 'p1' }, {}],
    ])
      refuses({ context: { patient } });
  });

  it('are refused where they are no plain text', () => {
    for (const value of [
      5,
      true,
      {},
      ['a', 5],
      ['a', null],
      [['a']],
      'a\nb',
      'a\u0000',
      '\u007f',
      'a\u0085',
    ]) {
      refuses({ groups: value });
      refuses({ realm_access: { roles: value } });
      refuses({ scope: value });
    }
    for (const client_id of [5, '', 'a\r\nb', ['portal'], {}, null]) refuses({ client_id });
  });

  it('do not come from the prototypes of objects', () => {
    const paths = {
      ...ISSUER.claims,
      client: 'constructor.name',
      scope: '__proto__',
      roles: 'toString.name',
    };
    assert.throws(() => identityOf({}, { ...ISSUER, claims: paths }), { code: 'invalid-token' });
    const identity = identityOf(
      { client_id: 'portal' },
      { ...ISSUER, claims: { ...paths, client: 'client_id' } },
    );
    assert.deepEqual([identity.scopes, identity.roles], [[], []]);
  });

  it('give plain text only or are refused, whatever JSON they are', () => {
    const names = ['client_id', 'azp', 'sub', 'jti', 'scope', 'groups', 'realm_access', 'context', 'patient'];
    const value = fc.oneof(
      fc.jsonValue(),
      fc.string({ unit: 'binary' }),
      fc.record({ roles: fc.jsonValue(), patient: fc.string({ unit: 'binary' }) }),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), value), (claims) => {
        let identity;
        try {
          identity = identityOf(claims, ISSUER);
        } catch (error) {
          assert.ok(error instanceof HeadwaterError, String(error));
          return assert.equal(error.code, 'invalid-token');
        }
        const { client, subject, patient, roles, scopes, attributes, tokenId } = identity;
        const texts = [client, subject, patient, tokenId].filter((text) => text !== undefined);
        for (const text of [...texts, ...roles, ...scopes, ...Object.values(attributes).flat()]) {
          assert.equal(typeof text, 'string');
          assert.match(text, /^\P{Cc}+$/u);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
