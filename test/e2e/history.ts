import { Random } from './random.ts';

/** Recipe of a body, so that a history stays small even if its resources are large. */
export interface BodySpec {
  /** Part of the body, so that no two writes have the same body. */
  readonly nonce: string;
  /** Bytes of incompressible text in it; from about 2 kB on PostgreSQL keeps it apart (TOAST). */
  readonly filler: number;
  readonly flavour: 'plain' | 'unicode' | 'lines' | 'not-json' | 'list' | 'none';
}

export interface Key {
  readonly type: string;
  readonly id: string;
}

export interface ExportSpec {
  readonly kind: 'export';
  /** Empty = no _type. */
  readonly types: readonly string[];
  /** Which of the points known then: 0 the newest, 1 the oldest. undefined = no _since. */
  readonly since: number | undefined;
  /** How the instant is written: there are several ways for each. */
  readonly zone: 'Z' | '+05:30' | '-11:00';
  readonly gzip: boolean;
  readonly post: boolean;
  /** DELETE, that many ms after the kick-off: before it is planned, while it runs, or when it is complete. */
  readonly cancelAfter: number | undefined;
  /** Go on only when it is complete. */
  readonly wait: boolean;
  /** Run its tasks once more and compare. */
  readonly again: boolean;
}

export type Statement =
  | (Key & { readonly kind: 'put'; readonly body: BodySpec })
  /** Changes only other columns. */
  | (Key & { readonly kind: 'touch' })
  | (Key & { readonly kind: 'delete' })
  /** The column `deleted`. */
  | (Key & { readonly kind: 'mark'; readonly deleted: boolean })
  /** The primary key, and nothing else. */
  | (Key & { readonly kind: 'move'; readonly to: Key })
  | { readonly kind: 'put-many'; readonly type: string; readonly count: number; readonly nonce: string }
  | { readonly kind: 'delete-many'; readonly type: string }
  /** All but what was there before the load. */
  | { readonly kind: 'delete-new' }
  | { readonly kind: 'truncate' }
  /** Another column, before or after those that matter. */
  | { readonly kind: 'alter-table' }
  | { readonly kind: 'savepoint'; readonly statements: readonly Statement[]; readonly rollback: boolean }
  /** Requested by another connection while this transaction is open. */
  | ExportSpec;

export type Step =
  | { readonly kind: 'transaction'; readonly statements: readonly Statement[]; readonly rollback: boolean }
  /** An instant for a later _since. */
  | { readonly kind: 'instant' }
  /** Requests of many clients at the same moment. */
  | { readonly kind: 'burst'; readonly exports: readonly ExportSpec[] }
  | { readonly kind: 'restart'; readonly what: 'capture' | 'work' }
  | ExportSpec;

/** One list of steps for each writer; the writers go on at the same time. */
export interface History {
  readonly seed: number;
  readonly writers: readonly (readonly Step[])[];
}

export const LOADED_TYPES = ['Patient', 'Observation', 'Encounter', 'Group'] as const;
export const TYPES = [...LOADED_TYPES, 'Condition', 'Procedure', 'Binary', 'Medication'] as const;
/** Few, so that histories use the same keys often, and the same ids under several types. */
const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'A', 'x.y-1', 'größe', '\u{1f600}'] as const;
export const LOADED_IDS = Array.from({ length: 12 }, (_, i) => `loaded-${i}`);

/** The same seed always gives the same history. */
export function randomHistory(seed: number): History {
  const random = new Random(seed);
  const mood: Mood = {
    random,
    large: random.chance(0.06),
    truncate: random.chance(0.04),
    many: random.chance(0.08),
    restart: random.chance(0.05),
  };
  const writers = random.weighted({ one: 3, several: 2 }) === 'one' ? 1 : random.int(2, 4);
  const lengths = random.list(writers, () => random.int(4, writers === 1 ? 24 : 12));
  return {
    seed,
    writers: lengths.map((length) => [...random.list(length, () => randomStep(mood)), lastExport(random)]),
  };
}

/** Steps of one writer before the first load. They leave rows behind. */
export function historyBeforeLoad(seed: number): Step[] {
  const random = new Random(seed);
  const mood: Mood = { random, large: true, truncate: false, many: true, restart: false };
  const rows = LOADED_TYPES.flatMap((type) =>
    LOADED_IDS.map((id): Statement => ({ kind: 'put', type, id, body: randomBody(mood) })),
  );
  const steps = random.list(20, () => randomTransaction(mood, []));
  return [
    { kind: 'transaction', statements: rows, rollback: false },
    ...steps.slice(0, 10),
    { kind: 'instant' },
    ...steps.slice(10),
  ];
}

export const FULL_EXPORT: ExportSpec = {
  kind: 'export',
  types: [],
  since: undefined,
  gzip: false,
  post: false,
  cancelAfter: undefined,
  zone: 'Z',
  wait: false,
  again: true,
};

/** One for each way to ask for a load. */
export function exportsBeforeLoad(): ExportSpec[] {
  return [
    FULL_EXPORT,
    { ...FULL_EXPORT, types: ['Patient', 'Group'], gzip: true },
    { ...FULL_EXPORT, since: 0 },
  ];
}

/** Everything, and what changed since points of all ages. */
export function exportsSinceEverything(): ExportSpec[] {
  const ages = Array.from({ length: 11 }, (_, i) => i / 10);
  return [FULL_EXPORT, ...ages.map((since) => ({ ...FULL_EXPORT, since, wait: true, again: false }))];
}

/** Transactions only. */
export function randomTransactions(seed: number, count: number): Step[] {
  const random = new Random(seed);
  const mood: Mood = { random, large: false, truncate: false, many: false, restart: false };
  return random.list(count, () => randomTransaction(mood, []));
}

/** Traits of one history. Rare events are absent from most histories and happen together in a few. */
interface Mood {
  readonly random: Random;
  readonly large: boolean;
  readonly truncate: boolean;
  readonly many: boolean;
  readonly restart: boolean;
}

function randomStep(mood: Mood): Step {
  const { random, restart } = mood;
  const kind = random.weighted({
    transaction: 14,
    export: 4,
    burst: 0.2,
    instant: 1,
    restart: restart ? 1 : 0,
  });
  switch (kind) {
    case 'transaction':
      return randomTransaction(mood, random.chance(0.08) ? [randomExport(random)] : []);
    case 'export':
      return randomExport(random);
    case 'burst':
      return { kind, exports: random.list(random.int(2, 6), () => randomExport(random)) };
    case 'instant':
      return { kind };
    case 'restart':
      return { kind, what: random.pick(['capture', 'work']) };
  }
}

function randomTransaction(mood: Mood, inside: readonly Statement[]): Step {
  const { random } = mood;
  const statements = random.list(random.weighted({ one: 2, many: 1 }) === 'one' ? 1 : random.int(2, 9), () =>
    randomStatement(mood, 0),
  );
  statements.splice(random.int(0, statements.length), 0, ...inside);
  return { kind: 'transaction', statements, rollback: random.chance(0.1) };
}

function randomStatement(mood: Mood, depth: number): Statement {
  const { random } = mood;
  const key = randomKey(random);
  const kind = random.weighted({
    put: 10,
    touch: 4,
    delete: 5,
    mark: 4,
    move: 2,
    savepoint: depth < 2 ? 1 : 0,
    putMany: mood.many ? 1 : 0,
    deleteMany: mood.many ? 1 : 0,
    truncate: mood.truncate ? 0.7 : 0,
    alter: 0.05,
  });
  switch (kind) {
    case 'put':
      return { kind, ...key, body: randomBody(mood) };
    case 'touch':
    case 'delete':
      return { kind, ...key };
    case 'mark':
      return { kind, ...key, deleted: random.chance(0.5) };
    case 'move':
      return { kind, ...key, to: random.chance(0.7) ? { ...key, id: random.pick(IDS) } : randomKey(random) };
    case 'savepoint': {
      const statements = random.list(random.int(1, 4), () => randomStatement(mood, depth + 1));
      return { kind, statements, rollback: random.chance(0.5) };
    }
    case 'putMany':
      return {
        kind: 'put-many',
        type: random.pick(TYPES),
        count: random.int(500, 4_000),
        nonce: random.nonce(),
      };
    case 'deleteMany':
      return { kind: 'delete-many', type: random.pick(TYPES) };
    case 'truncate':
      return { kind };
    case 'alter':
      return { kind: 'alter-table' };
  }
}

function randomKey(random: Random): Key {
  // The first ones are hot.
  if (random.chance(0.15))
    return { type: random.pick(LOADED_TYPES), id: random.pick(LOADED_IDS as [string, ...string[]]) };
  const hot = random.chance(0.5);
  return {
    type: hot ? random.pick(['Patient', 'Observation']) : random.pick(TYPES),
    id: hot ? random.pick(['a', 'b']) : random.pick(IDS),
  };
}

function randomBody({ random, large }: Mood): BodySpec {
  const filler = random.weighted({ none: 12, small: 6, toasted: 5, big: 1, huge: large ? 0.5 : 0 });
  const most = { none: 0, small: 1_500, toasted: 40_000, big: 400_000, huge: 5_000_000 }[filler];
  const least = { none: 0, small: 0, toasted: 8_200, big: 100_000, huge: 4_000_000 }[filler];
  return {
    nonce: random.nonce(),
    filler: random.int(least, most),
    flavour: random.weighted({ plain: 12, unicode: 4, lines: 3, 'not-json': 0.4, list: 0.2, none: 0.2 }),
  };
}

function randomExport(random: Random): ExportSpec {
  const types = random.chance(0.6) ? [] : TYPES.filter(() => random.chance(0.4));
  return {
    kind: 'export',
    types: random.chance(0.1) ? [...types, 'Schedule'] : types,
    since: random.chance(0.6) ? random.next() ** 2 : undefined,
    zone: random.pick(['Z', 'Z', '+05:30', '-11:00']),
    gzip: random.chance(0.3),
    post: random.chance(0.2),
    cancelAfter: random.chance(0.04) ? random.int(0, 600) : undefined,
    wait: random.chance(0.3),
    again: random.chance(0.3),
  };
}

function lastExport(random: Random): ExportSpec {
  return { ...randomExport(random), types: [], cancelAfter: undefined };
}
