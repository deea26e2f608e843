import { sleep } from '../base/clock.ts';
import { HeadwaterError } from '../base/errors.ts';
import type { LogReader } from './log.ts';

/** Number of checks for a missing topic, and the pause between them in ms. A broker that has just started may not know all topics. */
const LOOKS = 5;
const LOOK_WAIT = 1_000;

/**
 * Throws `gone` if a topic was deleted or created again, because earlier offsets then point to nothing or to other records.
 * @param ids Kafka's id of each topic, by its name
 */
export async function requireTopics(
  reader: Pick<LogReader, 'topics'>,
  ids: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<void> {
  if (ids.size === 0) return;
  for (let looks = 1; ; looks++) {
    const found = await reader.topics([...ids.keys()]);
    const wrong = [...ids].find(([name, id]) => found.get(name)?.id !== id)?.[0];
    if (wrong === undefined) return;
    if (found.has(wrong) || looks > LOOKS)
      throw new HeadwaterError('gone', `topic ${wrong} was deleted, or made again, after the cut`, {
        subject: wrong,
      });
    await sleep(LOOK_WAIT, signal);
  }
}
