import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findJava, OLDEST_JAVA } from '../../src/stack/local/java.ts';
import type { Java } from '../../src/stack/local/java.ts';

/** A Java that can compile. */
export async function jdk(): Promise<Java> {
  const java = await findJava(process.env, OLDEST_JAVA);
  if (existsSync(join(dirname(java.path), 'javac'))) return java;
  throw new Error(`${java.path} is not part of a JDK: install one, or set JAVA_HOME.`);
}

/** Flags for programs that run for seconds. */
export const QUICK_START = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];
