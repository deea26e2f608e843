import { TABLE } from './table.ts';
import type { Setting } from './table.ts';

/** The table of settings as Markdown, for docs/configure.md. */
export function settingsAsMarkdown(): string {
  const rows = Object.values<Setting<unknown>>(TABLE).map(
    (setting) =>
      `| \`HEADWATER_${setting.name}\` | ${setting.type.name} | ${defaultWords(setting, (text) => `\`${text}\``)} | ${setting.help} |`,
  );
  return ['| Variable | Type | Default | Meaning |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

/** The table of settings for a terminal. */
export function settingsAsText(): string {
  const blocks = Object.values<Setting<unknown>>(TABLE).map(
    (setting) =>
      `HEADWATER_${setting.name} (${setting.type.name}; ${defaultWords(setting, (text) => `default ${text}`)})\n    ${setting.help}`,
  );
  return `${blocks.join('\n')}\n`;
}

function defaultWords(setting: Setting<unknown>, show: (text: string) => string): string {
  if (typeof setting.default === 'object') return setting.default.words;
  if (setting.default !== undefined) return show(setting.default);
  return setting.neededBy.length > 0 ? `needed by ${setting.neededBy.join(', ')}` : 'none';
}
