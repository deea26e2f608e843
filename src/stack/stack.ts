import { HeadwaterError, messageOf } from '../base/errors.ts';
import type { Stack, StackKind, StackOptions } from './contract.ts';
import { composeAnswers, startComposeStack } from './docker/compose.ts';
import { dockerAnswers, startContainerStack } from './docker/containers.ts';
import { stackFromEnvironment } from './environment.ts';
import { startLocalStack } from './local/local-stack.ts';

export type { Stack, StackAddresses, StackOptions } from './contract.ts';

/** Tries the ways in this order. A way starts the stack or returns undefined if it does not apply to this machine. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const env = options.env ?? process.env;
  const forced = forcedKind(env);
  if (forced === undefined || forced === 'environment') {
    const stack = await stackFromEnvironment(options.purpose, env);
    if (stack) return stack;
    if (forced)
      throw new HeadwaterError('bad-config', 'HEADWATER_STACK=environment, but no addresses are set');
  }
  if (forced === undefined || forced === 'docker') {
    const stack = await startWithDocker(options, forced === 'docker');
    if (stack) return stack;
  }
  return startLocalStack(options);
}

/** The way that `HEADWATER_STACK` names, if it names one. */
export function forcedKind(env: NodeJS.ProcessEnv): StackKind | undefined {
  const value = env['HEADWATER_STACK'];
  if (value === undefined || value === '' || value === 'auto') return undefined;
  if (value === 'environment' || value === 'docker' || value === 'local') return value;
  throw new HeadwaterError(
    'bad-config',
    `HEADWATER_STACK is "${value}": use auto, environment, docker or local`,
  );
}

async function startWithDocker(options: StackOptions, forced: boolean): Promise<Stack | undefined> {
  const people = options.purpose === 'people';
  const missing = await (people ? composeAnswers() : dockerAnswers());
  if (missing !== undefined) {
    if (forced) throw new HeadwaterError('bad-config', `HEADWATER_STACK=docker, but ${missing}`);
    return undefined;
  }
  try {
    return await (people ? startComposeStack(options) : startContainerStack(options));
  } catch (error) {
    if (forced || options.signal?.aborted === true) throw error;
    options.report(`Docker could not start the stack (${messageOf(error)}); using local processes.`);
    return undefined;
  }
}
