/**
 * Returns the first answer of several brokers. The next one is asked when the one before fails, or is silent for `patience` ms; its answer
 * still counts. Errors for which `isFinal` returns true count as an answer. Rejects with the last error if all have failed.
 */
export async function firstAnswer<T>(
  asks: readonly (() => Promise<T>)[],
  patience: number,
  isFinal: (error: unknown) => boolean,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let next = 0;
  let pending = 0;
  let timer: NodeJS.Timeout | undefined;
  const askNext = (): void => {
    clearTimeout(timer);
    const ask = asks[next++];
    if (!ask) return;
    pending++;
    timer = setTimeout(askNext, patience);
    ask().then(resolve, (error: unknown) => {
      pending--;
      if (isFinal(error) || (pending === 0 && next >= asks.length)) reject(error);
      else askNext();
    });
  };
  askNext();
  return promise.finally(() => {
    clearTimeout(timer);
    next = asks.length;
  });
}
