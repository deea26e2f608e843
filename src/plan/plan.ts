import { offset, stamp } from '../base/positions.ts';
import type { Offset } from '../base/positions.ts';
import type { Cohort } from '../cohort/cohort.ts';
import type { ExportPlanned } from '../events/status.ts';
import type { Command } from '../events/commands.ts';
import type { ExportParameters } from '../events/request.ts';
import type {
  CommandPlace,
  FileLayout,
  GapsOf,
  Lane,
  Related,
  RelatedBy,
  Scope,
  Task,
  TaskFilter,
  TaskRights,
} from '../events/tasks.ts';
import { groupsOf } from '../events/grant.ts';
import { formatInstant } from '../fhir/instant.ts';
import { isCompartmentType } from '../fhir/patient-compartment.ts';
import { divide, organizedSlices, sum } from './divide.ts';
import type { Sized } from './divide.ts';

export type ExportCommand = Extract<Command, { readonly kind: 'ExportRequested' }>;

export interface PlanSettings {
  /** Estimated bytes a task should not pass. A single range may: it is never split, since newest-first needs all of it. */
  readonly taskBytes: number;
  /** A job of fewer planned bytes goes to the quick lane as a whole. */
  readonly quickBytes: number;
  /** The least number of tasks to aim at, for a job that is large enough to divide. */
  readonly parallelism: number;
  readonly layout: FileLayout;
}

/** The facts in the log that a plan depends on. */
export interface Findings {
  /** The command's place in the log. Without it, tasks carry all patients that it names. */
  readonly command?: CommandPlace | undefined;
  /** The offsets from which a job with `_since` reads. */
  readonly since?: Since | undefined;
  /** ms since 1970; records with a greater stamp are not wanted. */
  readonly until?: number | undefined;
  /** The cohort of a patient or group export; undefined = the whole system. */
  readonly cohort?: Cohort | undefined;
  /** Whether the client's rights depend on records from before `since`. */
  readonly rightsLookBefore?: boolean | undefined;
  /** Parts of a range in which there is nothing of the cohort. */
  readonly empty?: GapsOf | undefined;
  /** Parts in which there is nothing that its client lacks. */
  readonly known?: GapsOf | undefined;
}

export interface Since {
  /** ms since 1970; records with a greater stamp are wanted. */
  readonly time: number;
  /** First offset to read by type, then partition; 0 where there is none. */
  readonly from: ReadonlyMap<string, readonly Offset[]>;
}

export interface Plan {
  readonly planned: ExportPlanned;
  readonly tasks: readonly Task[];
}

/** Tasks before they have their numbers. */
type Draft = Pick<Task, 'ranges' | 'related' | 'organized' | 'plannedBytes'>;

/** The most patients that a task and a plan carry. For more, they name the place of the command, which is read once for many tasks. */
const MAX_CARRIED = 100;
const UNKNOWN_MEAN_BYTES = 2_000;

/**
 * Returns the ranges to read for an export, divided into tasks. Pure. The same command, settings and findings give the same tasks; a
 * planner that plans again may find other zones, or have other settings, and so make other tasks. The plan that counts is the one that is
 * committed with the command's offset: the work queue commits each command once. The lane is the job's, not the task's: otherwise
 * small tasks of large exports would fill the lane of small exports.
 */
export function plan(command: ExportCommand, settings: PlanSettings, at: number, found: Findings = {}): Plan {
  const { parameters, jobId } = command;
  const drafts = draftsOf(command, settings, found);
  const warnings = [
    ...parameters.warnings,
    ...(found.cohort?.warnings ?? []),
    ...lonelyContext(command),
    ...beforeEpoch(command, found),
  ];
  if (drafts.length === 0 && warnings.length > 0) drafts.push({ ...NOTHING, ranges: [], plannedBytes: 0 });
  const total = drafts.reduce((bytes, draft) => bytes + draft.plannedBytes, 0);
  const lane: Lane = total < settings.quickBytes ? 'quick' : 'bulk';
  const folder = folderOf(command);
  const filter = filterOf(command, found);
  const tasks = drafts.map((draft, i): Task => ({
    jobId,
    taskId: String(i + 1).padStart(4, '0'),
    lane,
    folder,
    outputFormat: parameters.outputFormat,
    layout: settings.layout,
    filter,
    topicIds: topicIdsOf(command, draft),
    warnings: i === 0 ? warnings : [],
    ...draft,
  }));
  const planned: ExportPlanned = {
    kind: 'ExportPlanned',
    jobId,
    at,
    clientId: command.clientId,
    acceptedAt: command.acceptedAt,
    requestUrl: command.requestUrl,
    parameters: found.command && isLong(parameters) ? { ...parameters, patients: [] } : parameters,
    folder,
    transactionTime: command.cut.time,
    lsn: command.cut.lsn,
    ...(command.cut.epoch && { epoch: command.cut.epoch.id }),
    tasks: tasks.map(({ taskId, plannedBytes }) => ({ taskId, lane, plannedBytes })),
  };
  return { planned, tasks };
}

/** The ids of the topics that a task reads. A patient or group export reads Group too. */
function topicIdsOf({ parameters, cut, grant }: ExportCommand, { ranges, related }: Draft): Task['topicIds'] {
  const read = new Set([...ranges, ...(related?.ranges ?? [])].map(({ type }) => type));
  if (parameters.level !== 'system' || (grant && groupsOf(grant).length > 0)) read.add('Group');
  return new Map([...(cut.topicIds ?? [])].filter(([type]) => read.has(type)));
}

/** Returns the scope of a patient or group export; undefined for the whole system. */
export function scopeOf({ parameters, cut }: ExportCommand): Scope | undefined {
  const { level, group, patients } = parameters;
  if (level === 'system') return undefined;
  return { group, patients, command: undefined, groupEnds: cut.ends.get('Group') ?? [], time: cut.time };
}

/** Returns the types that are returned for themselves, in a fixed order: the requested types that the log holds. */
export function plannedTypes(command: ExportCommand): string[] {
  return typesOf(command).plain;
}

const NOTHING = { related: undefined, organized: undefined };

function isLong({ patients }: ExportParameters): boolean {
  return patients.length > MAX_CARRIED;
}

function filterOf(command: ExportCommand, { since, until, command: place }: Findings): TaskFilter {
  const { typeFilters, elements } = command.parameters;
  const scope = scopeOf(command);
  const rights = rightsOf(command);
  return {
    since: since === undefined ? undefined : stamp(since.time),
    until: until === undefined ? undefined : stamp(until),
    scope: scope && place && isLong(command.parameters) ? { ...scope, patients: [], command: place } : scope,
    typeFilters,
    elements,
    ...(rights && { rights }),
    everyPatient:
      [scope, since, until].every((one) => one === undefined) &&
      typeFilters.length === 0 &&
      plannedTypes(command).includes('Patient'),
  };
}

/** Returns the rights of the client with the part of the log that tells the members of its groups. */
export function rightsOf({ grant, cut }: ExportCommand): TaskRights | undefined {
  return grant && { grant, groupEnds: cut.ends.get('Group') ?? [], time: cut.time };
}

interface Types {
  /** Returned for themselves. */
  readonly plain: string[];
  /** Types that are returned because a returned resource refers to them: the request names them, and they are in no compartment. */
  readonly context: string[];
  /** The way to choose Provenance by its targets; undefined if Provenance is not returned, or is returned like any other type. */
  readonly provenanceBy: RelatedBy | undefined;
}

function typesOf({ parameters, cut, grant }: ExportCommand): Types {
  const { level, types, binary, provenance, organizeBy } = parameters;
  const held = [...cut.ends.keys()].filter((type) => grant?.types.includes(type) ?? true).sort();
  const asked = held.filter((type) =>
    types.length > 0 ? types.includes(type) : binary || type !== 'Binary',
  );
  const inLevel = level === 'system' ? asked : asked.filter(isCompartmentType);
  const wanted = held.includes('Provenance') && (provenance !== 'in-scope' || asked.includes('Provenance'));
  const related = wanted && organizeBy === undefined && !(level === 'system' && provenance === 'in-scope');
  return {
    plain: related ? inLevel.filter((type) => type !== 'Provenance') : inLevel,
    context: level === 'system' || types.length === 0 ? [] : asked.filter((type) => !isCompartmentType(type)),
    provenanceBy: related ? PROVENANCE_BY[provenance] : undefined,
  };
}

/** Warns if `_since` is from before the log began: the log does not know what was deleted before. */
function beforeEpoch({ cut: { epoch } }: ExportCommand, { since }: Findings): string[] {
  if (!epoch || !since || since.time >= epoch.began) return [];
  return [
    `_since: it is before the log began at ${formatInstant(epoch.began)} (epoch ${epoch.id}). Of what it began with, output has what the source dates later than that, and deletes from before are not reported: replace what earlier exports gave you by an export without _since.`,
  ];
}

/** Warns a client that asks only for types that come along with others, since it gets nothing. */
function lonelyContext(command: ExportCommand): string[] {
  const { plain, context, provenanceBy } = typesOf(command);
  if (context.length === 0 || plain.length > 0 || provenanceBy) return [];
  const names = context.join(', ');
  return [
    `_type: ${names} comes along with resources of patients that refer to it, and _type names no type of those.`,
  ];
}

const PROVENANCE_BY = {
  'in-scope': 'target-in-scope',
  relevant: 'target-returned',
  latest: 'latest-of-returned',
} as const;

function draftsOf(command: ExportCommand, settings: PlanSettings, found: Findings): Draft[] {
  const { plain, context, provenanceBy } = typesOf(command);
  const returned = sizedRanges(command, plain, { since: found.since, gaps: found.known });
  if (command.parameters.organizeBy !== undefined)
    return organizedDrafts(command, command.parameters.organizeBy, {
      returned,
      cohort: found.cohort,
      parallelism: settings.parallelism,
    });
  const drafts = divide(returned, settings).map((group): Draft => ({
    ...NOTHING,
    ranges: group.map(({ range }) => range),
    plannedBytes: sum(group),
  }));
  const whole = (types: readonly string[]): Sized[] => sizedRanges(command, types, { gaps: found.empty });
  const everything = (types: readonly string[]): Sized[] => sizedRanges(command, types, {});
  const add = (ranges: readonly Sized[], by: RelatedBy, others: readonly Sized[]): void => {
    if (ranges.length === 0) return;
    const related: Related = { by, ranges: others.map(({ range }) => range) };
    // The targets of a Provenance are rarely read, because most Provenance name their patients.
    const plannedBytes = sum(ranges) + (by === 'target-in-scope' ? 0 : sum(others));
    drafts.push({ ranges: ranges.map(({ range }) => range), related, organized: undefined, plannedBytes });
  };
  if (provenanceBy === 'target-in-scope') {
    const targets = [...command.cut.ends.keys()].sort().filter((type) => isCompartmentType(type));
    // Old ones too, whatever `since` is: their targets may have come into scope or left it.
    const some = sizedRanges(command, ['Provenance'], { gaps: found.known });
    add(some, provenanceBy, whole(targets.filter((type) => type !== 'Provenance')));
  } else if (provenanceBy) {
    add(everything(['Provenance']), provenanceBy, whole(plain));
  }
  add(everything(context), 'referenced', whole(plain));
  return drafts;
}

/**
 * Whether records from before `since` count as well.
 * all: the rights of the client depend on them, or a reload came after `since`. What it wrote does not say whose a resource was before, nor whether a filter let it through.
 * movers: somebody joined or left a group.
 */
export function looksBefore(
  { parameters, cut, grant }: ExportCommand,
  { since, cohort, rightsLookBefore }: Pick<Findings, 'since' | 'cohort' | 'rightsLookBefore'>,
): 'all' | 'movers' | 'no' {
  if (since === undefined) return 'no';
  if (rightsLookBefore) return 'all';
  const selective = cohort !== undefined || grant !== undefined || parameters.typeFilters.length > 0;
  if (selective && cut.reloaded !== undefined && cut.reloaded > since.time) return 'all';
  if (cohort === undefined) return 'no';
  const moved = cohort.members !== cohort.before || cohort.groups !== cohort.groupsBefore;
  return moved ? 'movers' : 'no';
}

function organizedDrafts(
  { parameters, cut }: ExportCommand,
  by: string,
  found: {
    readonly returned: readonly Sized[];
    readonly cohort: Cohort | undefined;
    readonly parallelism: number;
  },
): Draft[] {
  const { returned, cohort, parallelism } = found;
  // A group is in the compartments of all its members: it has no block.
  const ranges = returned.filter(({ range }) => parameters.group === undefined || range.type !== 'Group');
  if (ranges.length === 0) return [];
  const patients = (cut.ends.get('Patient') ?? []).reduce((all: number, end) => all + end, 0);
  const share = Math.min(1, (cohort?.members?.size ?? patients) / Math.max(1, patients));
  const of = organizedSlices(sum(ranges) * share, parallelism);
  return Array.from({ length: of }, (_, slice): Draft => ({
    ranges: ranges.map(({ range }) => range),
    related: undefined,
    organized: { by, slice, of },
    plannedBytes: sum(ranges),
  }));
}

function sizedRanges(
  command: ExportCommand,
  types: readonly string[],
  { since, gaps = () => [] }: { readonly since?: Since | undefined; readonly gaps?: GapsOf | undefined },
): Sized[] {
  return types.flatMap((type) => {
    const mean = command.cut.meanBytes.get(type) ?? UNKNOWN_MEAN_BYTES;
    const starts = since?.from.get(type) ?? [];
    return (command.cut.ends.get(type) ?? []).flatMap((to, partition): Sized[] => {
      const from = starts[partition] ?? offset(0);
      if (from >= to) return [];
      const range = { type, partition, from, to };
      const without = gaps(range);
      const wanted = without.reduce((left, gap) => left - (gap.to - gap.from), to - from);
      return wanted === 0 ? [] : [{ range: { ...range, gaps: without }, bytes: Math.round(wanted * mean) }];
    });
  });
}

/** `<yyyyMMddTHHmmssZ>_<jobId>`: sorts by time, and a folder found without its job says whose it was and how old it is. */
function folderOf({ jobId, cut, parameters: { container } }: ExportCommand): string {
  const time = new Date(cut.time).toISOString().replace(/\.\d+Z$/, 'Z');
  const folder = `${time.replaceAll(/[-:]/g, '')}_${jobId}`;
  return container === undefined ? folder : `${container}/${folder}`;
}
