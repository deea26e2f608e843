import assert from 'node:assert/strict';
import { HeadwaterError } from '../../../../src/base/errors.ts';
import { authenticate } from '../../../../src/log/kafka/wire/sasl.ts';

// The exchange in RFC 7677, section 3.
const NONCE = 'rOprNGfwEbeRWgbNEkqO';
const SCRAM = { mechanism: 'SCRAM-SHA-256', username: 'user', password: 'pencil' } as const;
const SERVER = [
  `r=${NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
  'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
];

/** A server that says what it is given to say, and what was said to it. */
function server(...answers: readonly string[]) {
  const heard: string[] = [];
  const exchange = (message: Buffer): Promise<Buffer> => {
    heard.push(message.toString());
    return Promise.resolve(Buffer.from(answers[heard.length - 1] ?? ''));
  };
  return { heard, exchange };
}

describe('logging in', () => {
  it('by PLAIN says name and password', async () => {
    const { heard, exchange } = server();
    await authenticate({ mechanism: 'PLAIN', username: 'me', password: 'secret' }, exchange);
    assert.deepEqual(heard, ['\0me\0secret']);
  });

  it('by SCRAM proves the password without saying it', async () => {
    const { heard, exchange } = server(...SERVER);
    await authenticate(SCRAM, exchange, NONCE);
    assert.deepEqual(heard, [
      `n,,n=user,r=${NONCE}`,
      `c=biws,r=${NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`,
    ]);
  });

  it('by SCRAM trusts no server that does not prove it as well', async () => {
    const [first = '', final = ''] = SERVER;
    const impostors = [
      [first, final.replace('6', '7')],
      [first, ''],
      [first.replace(NONCE, 'x'.repeat(NONCE.length)), final],
      [first.replace('i=4096', 'i=1'), final],
    ];
    for (const answers of impostors) {
      const failed = authenticate(SCRAM, server(...answers).exchange, NONCE);
      await assert.rejects(failed, (error) => error instanceof HeadwaterError && error.code === 'bad-config');
    }
  });
});
