import { parseConfig } from './config.ts';
import type { DateShiftScope } from './config.ts';
import { Deidentifier } from './deidentifier.ts';
import { fingerprintsOf, keysOf } from './keys.ts';
import type { Keys } from './keys.ts';

/** A configuration with its keys, as plain data that can be sent to a thread. */
export interface DeidentifierSource {
  readonly name: string;
  /** Text of the configuration file. */
  readonly config: string;
  readonly keys: Keys;
  /** Overrides the scope in the file. */
  readonly scope?: DateShiftScope | undefined;
}

/** Compiles a configuration. Throws as `parseConfig` and `Deidentifier.of`. */
export function compileSource({ name, config, keys, scope }: DeidentifierSource): Promise<Deidentifier> {
  const place = `deidentification.${name}`;
  return Deidentifier.of(parseConfig(Buffer.from(config), place), keys, { place, scope });
}

/** The facts that tell one source from another, without its secrets. */
export interface DeidentifierIdentity {
  readonly name: string;
  /** sha256 of the configuration, in hex. */
  readonly hash: string;
  readonly scope: string;
  readonly fingerprints: Readonly<Record<string, string>>;
}

/** Returns the identity of a source that compiles. */
export function identityOf({ name, config, keys: given, scope }: DeidentifierSource): DeidentifierIdentity {
  const parsed = parseConfig(Buffer.from(config), name);
  const { hash, parameters } = parsed;
  const fingerprints = fingerprintsOf(keysOf(parsed, given, name));
  return { name, hash, scope: scope ?? parameters.dateShiftScope, fingerprints };
}
