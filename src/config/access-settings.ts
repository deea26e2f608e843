import type { Role } from './roles.ts';

interface AccessValues {
  readonly accessFile?: unknown;
  readonly access?: unknown;
  readonly fileTokens?: unknown;
  readonly httpHost?: unknown;
  readonly publicUrl?: unknown;
}

/** Returns a sentence for each way in which a gateway would give data to strangers, or tokens to listeners. */
export function accessProblems(values: AccessValues, roles: readonly Role[]): string[] {
  if (!roles.includes('gateway')) return [];
  const { accessFile, access, fileTokens, httpHost, publicUrl } = values;
  const problems: string[] = [];
  if (accessFile === undefined) {
    if (fileTokens === true) problems.push('HEADWATER_FILE_TOKENS needs HEADWATER_ACCESS_FILE');
    if (access !== 'open' && !isLoopback(String(httpHost)))
      problems.push(
        `HEADWATER_HTTP_HOST ${String(httpHost)} is reached from other machines, and everybody may export everything: set HEADWATER_ACCESS_FILE, or HEADWATER_ACCESS=open if that is meant`,
      );
    return problems;
  }
  if (access !== undefined)
    problems.push('HEADWATER_ACCESS and HEADWATER_ACCESS_FILE contradict each other: set one');
  const url = URL.parse(String(publicUrl));
  if (url?.protocol === 'http:' && !isLoopback(url.hostname))
    problems.push(
      `HEADWATER_PUBLIC_URL ${url.origin} has to be https with HEADWATER_ACCESS_FILE: tokens are secrets`,
    );
  return problems;
}

function isLoopback(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/.test(host);
}
