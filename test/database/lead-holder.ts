// A process that leads until it finds that it does not: `lead-holder.ts URL NAME`. Prints "leads", then "lost".
import { Lead } from '../../src/database/lead.ts';

const [url = '', name = ''] = process.argv.slice(2);
const lead = await Lead.acquire(
  { url, name, lease: { beat: 100, length: 1_000 } },
  new AbortController().signal,
);
process.stdout.write('leads\n');
lead.lost.addEventListener('abort', () => {
  lead
    .transaction((client) => client.query('SELECT 1'))
    .then(
      () => process.stdout.write('writes\n'),
      () => process.stdout.write('lost\n', () => process.exit()),
    );
});
