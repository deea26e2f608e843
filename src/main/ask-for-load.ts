import { HeadwaterError } from '../base/errors.ts';
import { lsn } from '../base/positions.ts';
import { positionRecord } from '../capture/position.ts';
import { topicDifference } from '../capture/topic-states.ts';
import { EMPTY_POSITION } from '../events/position.ts';
import type { PendingLoad, Position, TopicState } from '../events/position.ts';
import { resourceLog } from './capture-log.ts';
import type { LogAccess } from './log-access.ts';

/**
 * Records the request of an operator for a load. The next start of capture carries it out. A running capture is fenced and starts again.
 * `first-load` deletes the resource topics and begins a new epoch. `reload` keeps them; it begins a new epoch when they are
 * not as the position says, since deletes may be lost. A crash before the commit has changed nothing.
 */
export async function askForLoad(
  log: LogAccess,
  prefix: string,
  pending: Exclude<PendingLoad, 'none'>,
): Promise<void> {
  const resources = resourceLog(log, await log.codecs(), prefix);
  const { positions, topics } = resources;
  const appender = await resources.open();
  try {
    const stored = await positions.read();
    const states = await topics.states((stored?.topics ?? []).map(({ type }) => type));
    const difference = topicDifference(stored?.topics ?? [], states);
    if (pending === 'reload' && difference?.keysMoved === true)
      throw new HeadwaterError(
        'bad-request',
        `${prefix}.resources.${difference.text}, which a reload cannot mend; run headwater reset`,
      );
    if (pending === 'reload' && (difference || !stored)) await log.admin.emptyTopic(log.names.zones); // the zones name offsets of the old topics
    const position = positionAsked(stored, { pending, states, lost: difference !== undefined });
    appender.add(positions.topic, positionRecord(positions, position, Date.now()));
    await appender.commit();
  } finally {
    await appender.close();
  }
}

/**
 * Returns the position that records the request. After an interrupted reload, the ends from before it are kept: the records of the reload do
 * not name the earlier patients of its resources.
 * @param lost the topics differ from the stored position
 */
export function positionAsked(
  stored: Position | undefined,
  { pending, states, lost }: { pending: PendingLoad; states: readonly TopicState[]; lost: boolean },
): Position {
  const interrupted = stored?.pending === 'reload' && !lost;
  return {
    ...EMPTY_POSITION,
    ...stored,
    slot: '',
    systemId: '',
    lsn: lsn(0n),
    pending,
    epoch: lost ? undefined : stored?.epoch,
    topics: interrupted ? stored.topics : states,
  };
}
