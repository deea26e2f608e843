/** A topic as it is to be. */
export interface WantedTopic {
  readonly name: string;
  /** undefined when any count is right, and when it need not exist. */
  readonly partitions: number | undefined;
  readonly config: Readonly<Record<string, string>>;
}

/** A topic as the cluster has it. */
export interface ActualTopic {
  readonly name: string;
  readonly partitions: number;
  readonly config: Readonly<Record<string, string>>;
}

/** What is not as declared. `partitions` is the one that cannot be mended: keys would move to other partitions. */
export interface Difference {
  readonly kind: 'missing-topic' | 'partitions' | 'config' | 'missing-schema';
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
  for (const [name, value] of Object.entries(wanted.config)) {
    const current = actual.config[name];
    if (current === value) continue;
    found.push({
      kind: 'config',
      subject,
      text: `${subject} has ${name}=${current ?? '(none)'}, declared is ${value}`,
    });
  }
  return found;
}
