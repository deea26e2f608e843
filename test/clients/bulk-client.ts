import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** A Bulk Data client, used like its users do. It gets the server's FHIR base and no setting for Headwater. */
export interface BulkClient {
  readonly name: string;
  /** The types that it can request, if it does not know all types of FHIR. */
  readonly types?: readonly string[];
  /** The levels that it can export, besides the whole system. */
  readonly levels: readonly ('Patient' | 'Group')[];
  /** Whether it has `_typeFilter`. */
  readonly filters: boolean;
  /** Whether it downloads the files of `deleted` too. */
  readonly keepsDeletions: boolean;
  /** Installs it, where it is not part of this repository. Resolves to what this machine lacks for it, if anything. */
  prepare(): Promise<string | undefined>;
  /** Exports into an empty directory. Rejects with the client's message to its user. */
  export(request: ClientRequest): Promise<void>;
}

export type Level = 'Patient' | `Group/${string}`;

export interface ClientRequest {
  readonly server: string;
  readonly directory: string;
  /** System level when it is left out. */
  readonly level?: Level;
  readonly types?: readonly string[];
  readonly since?: string;
  /** One query: `Condition?code=1234`. */
  readonly typeFilter?: string;
}

const LONGEST_RUN_MS = 100_000;
const run = promisify(execFile);

/** Runs a program to its end. Rejects with all it wrote when it fails. */
export async function runProgram(
  file: string,
  parameters: readonly string[],
  { env, timeoutMs = LONGEST_RUN_MS }: ProgramOptions = {},
): Promise<void> {
  try {
    const options = { env: { ...process.env, ...env }, timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024 };
    await run(file, parameters, options);
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string };
    throw new Error(`${file} failed: ${stdout}${stderr}`, { cause });
  }
}

interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}
