import assert from 'node:assert/strict';
import { HeadwaterError, remedyFor } from '../../src/base/errors.ts';
import type { ErrorCode, Remedy } from '../../src/base/errors.ts';
import { clientMessage, probeMessage } from '../../src/base/public-message.ts';

describe('remedyFor', () => {
  const EXPECTED = {
    retry: ['too-many', 'unavailable', 'fenced'],
    stop: ['bad-config', 'refused', 'blocked', 'conflict'],
    fail: [
      ...(['bad-request', 'not-found', 'corrupt', 'gone', 'unsupported', 'limit', 'internal'] as const),
      ...([
        'no-token',
        'invalid-token',
        'expired-token',
        'insufficient-scope',
        'forbidden',
        'precondition',
      ] as const),
    ],
  } as const satisfies Record<Remedy, readonly ErrorCode[]>;
  // Does not compile if EXPECTED lacks a code.
  const all = (code: ErrorCode): (typeof EXPECTED)[Remedy][number] => code;
  assert.equal(all('internal'), 'internal');

  for (const [remedy, codes] of Object.entries(EXPECTED)) {
    for (const code of codes) {
      it(`answers ${remedy} to ${code}`, () => {
        assert.equal(remedyFor(new HeadwaterError(code, 'x')), remedy);
      });
    }
  }

  it('retries a network or a disk that may recover, also inside another error', () => {
    const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
    const full = Object.assign(new Error('write'), { code: 'ENOSPC' });
    assert.equal(remedyFor(refused), 'retry');
    assert.equal(remedyFor(new TypeError('fetch failed', { cause: refused })), 'retry');
    assert.equal(remedyFor(new AggregateError([new Error('other'), refused])), 'retry');
    assert.equal(remedyFor(full), 'retry');
  });

  it('fails the job for a bug, and for what is no error at all', () => {
    assert.equal(remedyFor(new TypeError('undefined is not a function')), 'fail');
    assert.equal(remedyFor('thrown text'), 'fail');
    assert.equal(remedyFor(undefined), 'fail');
  });
});

describe('what leaves the installation', () => {
  it('is the message of an error that is written for clients', () => {
    assert.equal(clientMessage('bad-request', '_since is no instant'), '_since is no instant');
    assert.equal(clientMessage('deadline', 'There was no progress.'), 'There was no progress.');
  });

  it('is never the message of any other error, known or not', () => {
    const secret = 'connect ECONNREFUSED 10.0.0.7:9092 /var/lib/x';
    for (const code of [
      'unavailable',
      'internal',
      'corrupt',
      'gone',
      'refused',
      'conflict',
      'from-the-future',
    ])
      assert.doesNotMatch(clientMessage(code, secret), /10\.0|9092|var/);
  });

  it('is, at a probe, the message without addresses, paths and inner errors', () => {
    const cause = new Error('getaddrinfo ENOTFOUND kafka-3.internal');
    const texts = [
      new HeadwaterError('unavailable', `Kafka does not answer at 10.0.0.7:9092: ${cause.message}`, {
        cause,
      }),
      new HeadwaterError('unavailable', 'Kafka does not answer at kafka-3.internal:9092'),
      new HeadwaterError('unavailable', 'http://user:word@kafka-3.internal/apis does not answer (10.0.0.7)'),
      new HeadwaterError('unavailable', 'getaddrinfo ENOTFOUND kafka-3.internal'),
      new HeadwaterError('bad-config', 'cannot write to /var/lib/headwater/files'),
      new HeadwaterError('unavailable', 'connect to [fe80::1]:9092 or ::1 failed'),
      new Error('10.0.0.7:9092 /var/lib'),
      new HeadwaterError('internal', '10.0.0.7:9092 /var/lib'),
    ].map(probeMessage);
    for (const text of texts) assert.doesNotMatch(text, /10\.0|9092|internal|\/var|word|fe80|::1/, text);
  });

  it('is, at a probe, still what an operator has to change', () => {
    const text =
      'the source has no table public.resource (HEADWATER_SOURCE_TABLE): run "headwater topics", 3 of 4';
    assert.equal(probeMessage(new HeadwaterError('unavailable', text)), text);
  });
});
