import type { TopicState } from '../events/position.ts';

export interface TopicDifference {
  /** Begins with the type. */
  readonly text: string;
  /** New records of a key would go to another partition than its older records. */
  readonly keysMoved: boolean;
}

/** Returns how the topics differ from those that the position names; undefined if they do not. Only topics that were created later may be added. */
export function topicDifference(
  stored: readonly TopicState[],
  actual: readonly TopicState[],
): TopicDifference | undefined {
  const now = new Map(actual.map((topic) => [topic.type, topic]));
  for (const before of stored) {
    const is = now.get(before.type);
    const difference = is ? changed(before, is) : { text: 'was deleted', keysMoved: false };
    if (difference) return { ...difference, text: `${before.type} ${difference.text}` };
  }
  return undefined;
}

function changed(before: TopicState, is: TopicState): TopicDifference | undefined {
  if (is.id !== before.id) return { text: 'was deleted and made again', keysMoved: false };
  const [had, has] = [before.ends.length, is.ends.length];
  if (had !== has)
    return {
      text: `has ${has} partitions and had ${had}: keys are in other partitions now`,
      keysMoved: true,
    };
  const cut = before.ends.findIndex((end, partition) => (is.ends[partition] ?? 0) < end);
  if (cut >= 0)
    return {
      text: `has lost records: partition ${cut} ended at ${String(before.ends[cut])} or later and ends at ${String(is.ends[cut])}`,
      keysMoved: false,
    };
  const begun = is.starts.findIndex((start, partition) => start > (before.starts[partition] ?? 0));
  if (begun >= 0)
    return {
      text: `has lost records: partition ${begun} began at ${String(before.starts[begun] ?? 0)} and begins at ${String(is.starts[begun])}`,
      keysMoved: false,
    };
  return undefined;
}
