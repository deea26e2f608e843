/** A topic as it is declared. */
export interface WantedTopic {
  readonly name: string;
  /** undefined if any count is allowed, or if the topic need not exist. */
  readonly partitions: number | undefined;
  /** The least number of copies of each partition. */
  readonly replicas: number;
  readonly config: Readonly<Record<string, string>>;
}

/** A topic as the cluster has it. */
export interface ActualTopic {
  readonly name: string;
  readonly partitions: number;
  /** Copies of the partition that has the fewest. */
  readonly replicas: number;
  readonly config: Readonly<Record<string, string>>;
}

/**
 * A difference between a topic and its declaration. Two kinds cannot be mended: `partitions`, since keys would move to other partitions, and `compression`, since
 * stored batches stay as they are. `replicas` can be mended by the operator of the brokers.
 */
export interface Difference {
  readonly kind: 'missing-topic' | 'partitions' | 'compression' | 'replicas' | 'config' | 'missing-schema';
  /** The topic, or the subject of a schema. */
  readonly subject: string;
  /** One line for people. */
  readonly text: string;
}

export function differences(wanted: readonly WantedTopic[], actual: readonly ActualTopic[]): Difference[] {
  const byName = new Map(actual.map((topic) => [topic.name, topic]));
  return wanted.flatMap((topic) => {
    const found = byName.get(topic.name);
    if (found) return compare(topic, found);
    return topic.partitions === undefined ? [] : [missing(topic.name)];
  });
}

/** Codecs that no reader of ours knows. */
const UNREADABLE: ReadonlySet<string> = new Set(['lz4', 'snappy']);

/** Settings that may be greater than declared: more copies, and versions that the janitor keeps for longer. */
const AT_LEAST: ReadonlySet<string> = new Set(['min.insync.replicas', 'min.compaction.lag.ms']);

/** Values that an operator may set in place of the declared ones. */
export function isAsGood(name: string, current: string | undefined, declared: string): boolean {
  if (name === 'compression.type') return current !== undefined; // a compression that no reader knows has its own kind of difference
  return current === declared || (AT_LEAST.has(name) && Number(current) > Number(declared));
}

function missing(name: string): Difference {
  return { kind: 'missing-topic', subject: name, text: `${name} does not exist` };
}

function compare(wanted: WantedTopic, actual: ActualTopic): Difference[] {
  const found: Difference[] = [];
  const subject = wanted.name;
  if (wanted.partitions !== undefined && wanted.partitions !== actual.partitions) {
    const text = `${subject} has ${actual.partitions} partitions, declared are ${wanted.partitions}`;
    found.push({ kind: 'partitions', subject, text });
  }
  if (actual.replicas < wanted.replicas) {
    const text = `${subject} has ${actual.replicas} of ${wanted.replicas} copies of its partitions: add some with kafka-reassign-partitions`;
    found.push({ kind: 'replicas', subject, text });
  }
  const compression = actual.config['compression.type'] ?? '';
  if (UNREADABLE.has(compression)) {
    const text = `${subject} has compression.type=${compression}, so its records cannot be read`;
    found.push({ kind: 'compression', subject, text });
  }
  for (const [name, value] of Object.entries(wanted.config)) {
    const current = actual.config[name];
    if (isAsGood(name, current, value)) continue;
    found.push({
      kind: 'config',
      subject,
      text: `${subject} has ${name}=${current ?? '(none)'}, declared is ${value}`,
    });
  }
  return found;
}
