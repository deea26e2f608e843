const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
/** npm forwards a Ctrl-C to a script that got it from the terminal already. In ms. */
const SAME_PRESS = 1_000;

/** Fires at the first Ctrl-C or SIGTERM, for an orderly end. A second one, not the first one's echo, ends the process at once. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  let first: number | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    if (first === undefined) {
      first = performance.now();
      controller.abort();
    } else if (performance.now() - first > SAME_PRESS) {
      for (const name of SIGNALS) process.off(name, onSignal);
      process.kill(process.pid, name);
    }
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return controller.signal;
}
