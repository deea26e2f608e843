import { watchEventLoop } from '../../src/main/watchdog.ts';

/* A process whose event loop stands still on a message; else it lives until its parent ends it. */
watchEventLoop(Number(process.argv[2]));
process.on('message', (message) => {
  if (message !== 'block') return;
  for (;;); // as a client library that spins
});
setTimeout(() => process.send?.('watched'), 1_500); // the watchdog's thread has started by then
