// Makes `npm start` and `npm test` work in a fresh clone: npm packages, and Node 24 from npm's own `node` package.
// Plain JavaScript without dependencies, for any Node from 20 on. Prints one line a step and nothing when all is there.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, 'node_modules');
const stamp = join(modules, '.headwater-lock');
const node = join(modules, '.bin', 'node');

function fail(line) {
  console.error(line);
  process.exit(1);
}

/** Without this project's .bin folder on the PATH, since `npm ci` deletes it while it runs. */
function run(command, parameters, cwd = root) {
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.startsWith(modules));
  return spawnSync(command, parameters, {
    cwd,
    env: { ...process.env, PATH: path.join(delimiter) },
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
}

/** Whether node_modules holds what the lock names, however it was installed. Optional packages may be missing. */
function matchesLock(lock) {
  let installed;
  try {
    installed = JSON.parse(readFileSync(join(modules, '.package-lock.json'), 'utf8')).packages;
  } catch {
    return false;
  }
  return Object.entries(lock.packages).every(
    ([path, entry]) =>
      path === '' ||
      (installed[path]?.version === entry.version && existsSync(join(root, path))) ||
      (installed[path] === undefined && entry.optional === true),
  );
}

function installPackages() {
  const text = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const wanted = `${process.platform} ${process.arch} ${createHash('sha256').update(text).digest('hex')}\n`;
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  if (!matchesLock(JSON.parse(text))) {
    const began = Date.now();
    console.log('Installing npm packages (npm ci) …');
    const result = run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
    if (result.error) fail(`npm could not be started: ${result.error.message}`);
    if (result.status !== 0) fail(`npm ci failed:\n${(result.stderr + result.stdout).trim().slice(-3000)}`);
    console.log(`Installed npm packages in ${Math.round((Date.now() - began) / 1000)} s.`);
  }
  mkdirSync(modules, { recursive: true });
  writeFileSync(stamp, wanted);
}

function works() {
  if (!existsSync(node)) return false;
  const result = spawnSync(node, ['--version'], { encoding: 'utf8' });
  return result.status === 0 && Number(/^v(\d+)/.exec(result.stdout)?.[1]) >= 24;
}

/** npm's `node` package fetches the binary in an install script, which npm may have been told not to run. */
function installNode() {
  if (works()) return;
  const folder = join(modules, 'node');
  if (!existsSync(join(folder, 'bin', 'node'))) {
    console.log('Installing Node 24 (npm package "node") …');
    const result = run(process.execPath, ['installArchSpecificPackage.js'], folder);
    if (result.status !== 0)
      fail(`Node 24 was not installed:\n${(result.stderr + result.stdout).trim().slice(-3000)}`);
  }
  rmSync(node, { force: true });
  mkdirSync(dirname(node), { recursive: true });
  symlinkSync(join('..', 'node', 'bin', 'node'), node);
  if (!works()) fail(`${node} does not run: delete node_modules and try again.`);
}

if (Number(process.versions.node.split('.')[0]) < 20) {
  fail(`Node 20 or newer is needed to set up (it brings its own Node 24); this is ${process.version}.`);
}
installPackages();
installNode();
