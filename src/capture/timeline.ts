import { parseLsn } from '../base/positions.ts';
import type { Lsn } from '../base/positions.ts';

/** The server's timeline, and where each earlier one of its history ended. */
export interface Timelines {
  readonly current: number;
  /** Oldest first: the timeline, and the place up to which this server has its log. */
  readonly ended: readonly { readonly timeline: number; readonly at: Lsn }[];
}

/** Reads the content of a timeline history file: a line has a timeline, the place where it ended, and a reason. */
export function parseHistory(current: number, content: string): Timelines {
  const ended = content.split('\n').flatMap((line) => {
    const match = /^\s*(\d+)\s+([0-9A-F]+\/[0-9A-F]+)/i.exec(line);
    return match ? [{ timeline: Number(match[1]), at: parseLsn(match[2] ?? '') }] : [];
  });
  return { current, ended };
}

/**
 * Returns true if this server has the whole history up to a position on `timeline`. It does not if it was promoted at an earlier
 * place: the log may then hold changes that this server never had.
 */
export function contains(
  timelines: Timelines,
  position: { readonly timeline: number; readonly lsn: Lsn },
): boolean {
  if (position.timeline === timelines.current) return true;
  return timelines.ended.some(({ timeline, at }) => timeline === position.timeline && position.lsn <= at);
}
