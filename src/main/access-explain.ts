import { readAccessFile } from '../access/access-file.ts';
import { HeadwaterError } from '../base/errors.ts';
import type { GroupLog } from '../cohort/group-directory.ts';
import { judge } from '../cohort/rights.ts';
import { versionsOf } from '../cohort/versions.ts';
import type { ExportLevel } from '../events/request.ts';
import { MANY_PATIENTS } from '../events/resource-change.ts';
import { isId } from '../fhir/reference.ts';
import { isResourceType } from '../fhir/resource-types.ts';
import { identityOf, judgement, now } from './access-judgement.ts';
import type { Explained } from './access-judgement.ts';

export interface ExplainOptions {
  /** Id of a client of the access file. */
  readonly as: string;
  readonly level: ExportLevel;
  readonly group?: string | undefined;
  /** Name of a configuration that de-identifies, if the role does not demand one. */
  readonly anonymizationConfig?: string | undefined;
  /** `Type/id`. */
  readonly resource: string;
}

/** Returns what the rules say of a resource as the log has it now. Throws as a kick-off of this client would be refused. */
export async function explain(
  { file, keysFolder }: { readonly file: string; readonly keysFolder: string | undefined },
  { as, level, group, anonymizationConfig: deidentify, resource }: ExplainOptions,
  log: GroupLog,
  signal: AbortSignal,
): Promise<Explained> {
  const policy = await readAccessFile(file, keysFolder);
  const [type = '', id = ''] = resource.split('/');
  if (!isResourceType(type) || !isId(id))
    throw new HeadwaterError('bad-request', `--resource ${resource}: write Type/id`);
  const ends = await log.reader.ends(log.topicOf(type));
  const version = (await versionsOf(log, { type, ids: [id], ends, before: undefined }, signal)).get(id)?.now;
  const asked = { identity: identityOf(policy, as), level, group, deidentify, keysFolder, at: now() };
  const groupEnds = await log.reader.ends(log.topicOf('Group'));
  const { patients = [], lastUpdated = null, body } = version ?? {};
  const known = patients.filter((one) => one !== MANY_PATIENTS);
  const subject = {
    type,
    patients: known,
    lastUpdated,
    json: body ? Buffer.from(body).toString() : undefined,
  };
  const found = await judgement(policy, { ...asked, groupEnds }, subject, (rights) =>
    judge({ type, patients }, rights, log, signal),
  );
  if (version === undefined || version.operation === 'delete')
    throw new HeadwaterError('not-found', `there is no ${resource} in the log`);
  return found;
}
