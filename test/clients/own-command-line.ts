import { join } from 'node:path';
import { runProgram } from './bulk-client.ts';
import type { BulkClient } from './bulk-client.ts';

const ENTRY = join(import.meta.dirname, '..', '..', 'src', 'main', 'headwater.ts');

export const ownCommandLine: BulkClient = {
  name: 'headwater export',
  levels: [],
  filters: false,
  keepsDeletions: true,
  prepare: () => Promise.resolve(undefined),
  async export({ server, directory, types, since }) {
    await runProgram(process.execPath, [
      ...[ENTRY, 'export', '--server', server, '--out', directory],
      ...(types ? ['--type', types.join(',')] : []),
      ...(since === undefined ? [] : ['--since', since]),
    ]);
  },
};
