const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
/** Time in ms in which a second signal is a copy: npm forwards a Ctrl-C that the script also gets from the terminal. */
const SAME_PRESS = 1_000;

/** Fires at the first Ctrl-C or SIGTERM, for an orderly end. A second one ends the process at once, unless it is a copy of the first. */
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
