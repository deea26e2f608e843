import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { HeadwaterError } from '../../base/errors.ts';

/** PostgreSQL refuses to run as root, so root starts it as this user. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** undefined if this process does not run as root: then PostgreSQL runs as the same user. */
export function postgresAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = readFileSync('/etc/passwd', 'utf8');
  const account = parseAccount(users, 'postgres') ?? parseAccount(users, 'nobody');
  if (account) return account;
  throw new HeadwaterError(
    'bad-config',
    // eslint-disable-next-line prose/plain-english -- the name of a user
    'PostgreSQL cannot run as root, and there is no user "postgres" or "nobody" to run it as: add one, or use Docker.',
  );
}

export function parseAccount(passwd: string, name: string): Account | undefined {
  const fields = passwd
    .split('\n')
    .find((line) => line.startsWith(`${name}:`))
    ?.split(':');
  if (!fields) return undefined;
  const uid = Number(fields[2]);
  const gid = Number(fields[3]);
  return Number.isInteger(uid) && Number.isInteger(gid) ? { name, uid, gid } : undefined;
}

/** Whether the user can enter all parent folders and read the file or enter the folder. If the path does not exist, checks its parent. */
export function canReach(path: string, account: Account | undefined): boolean {
  if (!account) return true;
  const folder = lstatSync(path, { throwIfNoEntry: false });
  if (!folder) return canReach(dirname(path), account);
  const right = folder.isDirectory() ? '-x' : '-r';
  return spawnSync('test', [right, path], { uid: account.uid, gid: account.gid }).status === 0;
}

/** Makes a folder that only the user can enter. */
export function privateFolder(path: string, account: Account | undefined): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o700);
  if (account) chownSync(path, account.uid, account.gid);
}
