import assert from 'node:assert/strict';
import { firstAnswer } from '../../../../src/log/kafka/wire/first-answer.ts';

describe('the first answer', () => {
  const final = new Error('final');
  const isFinal = (error: unknown): boolean => error === final;
  const silence = (): Promise<string> => new Promise(() => undefined);
  const answer = (text: string) => () => Promise.resolve(text);
  const failure = (error: Error) => () => Promise.reject<string>(error);
  const never = (): Promise<string> => assert.fail('this one must not be asked');

  it('is that of the first who is asked, and no other is', async () => {
    assert.equal(await firstAnswer([answer('a'), never], 60_000, isFinal), 'a');
  });

  it('is that of the next when the first fails', async () => {
    assert.equal(await firstAnswer([failure(new Error('away')), answer('b')], 60_000, isFinal), 'b');
  });

  it('is that of another when the first is silent', async () => {
    assert.equal(await firstAnswer([silence, silence, answer('c')], 1, isFinal), 'c');
  });

  it('is the slow one when all others fail', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const answered = firstAnswer([() => promise, failure(new Error('away'))], 1, isFinal);
    setTimeout(() => resolve('slow'), 20);
    assert.equal(await answered, 'slow');
  });

  it('may be an error, after which no other is asked', async () => {
    await assert.rejects(firstAnswer([failure(final), never], 60_000, isFinal), final);
  });

  it('is the last error when all fail', async () => {
    const last = new Error('last');
    await assert.rejects(firstAnswer([failure(new Error('away')), failure(last)], 60_000, isFinal), last);
  });
});
