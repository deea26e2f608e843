import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { settingsAsMarkdown } from '../../src/config/help.ts';
import { parseSettings } from '../../src/config/settings.ts';
import { asyncApi } from '../../src/events/asyncapi.ts';
import { accessFileJsonSchema } from '../../src/access/access-schema.ts';
import { openApi } from '../../src/http/openapi.ts';
import { requestMetrics } from '../../src/http/request-metrics.ts';
import { measureAccess, measureJobs, processMetrics } from '../../src/main/process-metrics.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const DOCS = globSync('docs/**/*.md', { cwd: ROOT });
const READMES = globSync(['README.md', 'CHANGELOG.md', '{src,topics,test,bench,data}/**/README.md'], {
  cwd: ROOT,
});

/** `[text](place)`, without links to elsewhere and to a heading. */
function linksOf(file: string): { readonly text: string; readonly target: string }[] {
  return [...read(file).matchAll(/\[([^\]]*)\]\(([^)\s#]+)[^)]*\)/g)]
    .map(([, text = '', place = '']) => ({ text, place }))
    .filter(({ place }) => !/^[a-z]+:/.test(place))
    .map(({ text, place }) => ({ text, target: normalize(join(dirname(file), place)) }));
}

/** Names in backticks: `CommandWriter.write` is two. */
function symbolsOf(text: string): string[] {
  return [...text.matchAll(/`([\w.]+)`/g)].flatMap(([, names = '']) => names.split('.'));
}

/** Files and folders of the repository that a text names in backticks. */
function pathsIn(text: string): string[] {
  return [...text.matchAll(/`((?:src|topics|test|bench|data|docs|compose|scripts)\/[\w./-]+)`/g)].map(
    ([, path = '']) => path,
  );
}

describe('the documentation', () => {
  for (const file of [...DOCS, ...READMES]) {
    it(`names only what is there: ${file}`, () => {
      for (const { text, target } of linksOf(file)) {
        assert.ok(existsSync(join(ROOT, target)), `${file}: there is no ${target}`);
        if (!statSync(join(ROOT, target)).isFile()) continue;
        for (const symbol of symbolsOf(text)) {
          assert.match(read(target), new RegExp(`\\b${symbol}\\b`), `${file}: ${target} has no ${symbol}`);
        }
      }
      for (const path of pathsIn(read(file))) {
        const made = /^bench\/(results|data)\//.test(path);
        assert.ok(made || existsSync(join(ROOT, path)), `${file}: there is no ${path}`);
      }
    });
  }

  it('has a README of 10 to 30 lines for every stage', () => {
    const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => `src/${name}`);
    for (const folder of [...folders, 'src/log/kafka', 'topics', 'test', 'data']) {
      const lines = read(`${folder}/README.md`).trimEnd().split('\n').length;
      assert.ok(lines >= 10 && lines <= 30, `${folder}/README.md has ${String(lines)} lines`);
    }
  });

  it('has a page for every invariant, and each says how it is kept', () => {
    const chapters = read('docs/invariants.md').split(/^## /m).slice(1);
    assert.deepEqual(
      chapters.map((chapter) => chapter.split(' ')[0]),
      Array.from({ length: 14 }, (_, i) => `I${String(i + 1)}`),
    );
    for (const chapter of chapters) assert.match(chapter, /^- Kept by /m);
  });

  it('numbers decisions without gaps, in their names and titles', () => {
    const pages = readdirSync(join(ROOT, 'docs/decisions')).sort();
    pages.forEach((page, i) => {
      const number = String(i + 1).padStart(4, '0');
      assert.equal(page.slice(0, 5), `${number}-`);
      assert.match(read(`docs/decisions/${page}`), new RegExp(`^# ${number} `));
    });
  });
});

describe('docs/conformance.md', () => {
  const text = read('docs/conformance.md');
  const rows = text.split('\n').filter((line) => /^\| (?!---)/.test(line));
  const named = [...text.matchAll(/\[([^\]]+)\]\(\.\.\/(test\/[^)]+\.ts)\)/g)].map(
    ([, title = '', file = '']) => ({
      title,
      file,
    }),
  );

  /** What a file's tests are called, `…` where a title has a part that differs. */
  function titlesOf(file: string): Set<string> {
    const calls = read(file).matchAll(/\b(?:it|describe)\(\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"|`([^`]*)`)/g);
    return new Set(
      [...calls].map(([, single, double, template]) =>
        (single ?? double ?? template ?? '').replaceAll(/\$\{[^}]*\}/g, '…').replaceAll("\\'", "'"),
      ),
    );
  }

  it('names tests that are there', () => {
    assert.ok(named.length > 100);
    const titles = new Map([...new Set(named.map(({ file }) => file))].map((file) => [file, titlesOf(file)]));
    const missing = named.filter(
      ({ title, file }) => title !== 'docs.test.ts' && !titles.get(file)?.has(title),
    );
    assert.deepEqual(missing, []);
  });

  it('has a test in each row, or says why there is none', () => {
    const without = rows.filter((row) => !/\]\(\.\.\/test\/|not yet: |Shown by/.test(row));
    assert.ok(rows.length > 90);
    assert.deepEqual(without, []);
  });
});

describe('docs/api', () => {
  it('has the documents that a service with the settings by default answers with', () => {
    const settings = parseSettings({}, []);
    for (const [name, document] of [
      ['openapi.json', openApi(settings)],
      ['asyncapi.json', asyncApi(settings)],
      ['access-file.schema.json', accessFileJsonSchema()],
    ] as const) {
      const written = JSON.parse(read(`docs/api/${name}`)) as unknown;
      assert.deepEqual(written, document, 'run node scripts/api-documents.mjs');
    }
  });
});

describe('the pages in docs/', () => {
  it('have the settings as they are', () => {
    const text = read('docs/configure.md');
    const shown = /<!-- settings:.*?-->\n\n(.*?)\n<!-- end of settings -->/s.exec(text)?.[1];
    assert.equal(
      shown,
      settingsAsMarkdown(),
      'put the output of settingsAsMarkdown() between the two comments',
    );
  });

  it('name every metric, and no other', async () => {
    const text = read('docs/operate.md');
    const { registry } = processMetrics(() => [], systemClock);
    measureJobs(registry, () => Promise.resolve({ accepted: 0, running: 0 }));
    requestMetrics(registry, systemClock);
    measureAccess(registry, { problem: undefined });
    const names = registry
      .getMetricsAsArray()
      .map(({ name }) => name)
      .filter((name) => name.startsWith('headwater_'));
    const shown = [...text.matchAll(/^\| `(headwater_\w+)` \|/gm)].map(([, name]) => name);
    assert.deepEqual(shown.sort(), names.sort());
  });
});
