import { HeadwaterError } from '../../base/errors.ts';
import { copyMember } from '../../fhir/copy-parts.ts';
import { isObjectAt, membersOf } from '../../fhir/json-scan.ts';
import type { Member } from '../../fhir/json-scan.ts';
import { Splice } from '../../fhir/splice.ts';

/** Members of `meta`, each a name and its value as JSON. */
export type MetaMembers = readonly (readonly [name: string, json: string])[];

/** Returns a string as JSON of ASCII letters only. */
export function asciiJson(text: string): string {
  return inAscii(JSON.stringify(text));
}

/** Returns JSON with escapes in place of other letters than ASCII's. */
export function inAscii(json: string): string {
  return json.replaceAll(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * Returns a resource with these members first in its `meta`, which takes the place of members of the same name. Every other byte stays.
 * A resource without meta gets one after its id. Throws `corrupt` if the text is no JSON object.
 * @param dropped names of members of `meta` that go
 * @param root members that come first in the resource, after `resourceType`
 */
export function withMeta(
  body: Buffer,
  set: MetaMembers,
  { dropped = [], root = [] }: { readonly dropped?: readonly string[]; readonly root?: MetaMembers } = {},
): Buffer {
  const members = membersOf(body, { start: 0, end: body.length });
  const splice = new Splice(body);
  const meta = members.findLast(({ name }) => name === 'meta');
  const rest = members.filter((member) => member === meta || !root.some(([name]) => name === member.name));
  const named = (wanted: string): Member | undefined => rest.findLast(({ name }) => name === wanted);
  const rootAfter = named('resourceType');
  const metaAfter = named('id') ?? rootAfter;
  const newMeta = meta || set.length === 0 ? [] : [`"meta":{${written(set)}}`];
  const newRoot = root.length === 0 ? [] : [written(root)];
  const front = [...(rootAfter ? [] : newRoot), ...(metaAfter ? [] : newMeta)];
  splice.insert('{');
  splice.insert(front.join(','));
  for (const member of rest) {
    if (member === rest[0] && front.length > 0) splice.insert(',');
    const write = member === meta ? () => copyMeta(splice, body, member, { set, dropped }) : undefined;
    copyMember(splice, { member, write }, member === rest[0]);
    const after = [...(member === rootAfter ? newRoot : []), ...(member === metaAfter ? newMeta : [])];
    if (after.length > 0) splice.insert(`,${after.join(',')}`);
  }
  splice.insert('}');
  return splice.toBuffer();
}

function copyMeta(
  splice: Splice,
  body: Buffer,
  { value }: Member,
  { set, dropped }: { readonly set: MetaMembers; readonly dropped: readonly string[] },
): void {
  if (!isObjectAt(body, value)) throw new HeadwaterError('corrupt', 'its meta is not a JSON object');
  const gone = new Set([...dropped, ...set.map(([name]) => name)]);
  const kept = membersOf(body, value).filter(({ name }) => !gone.has(name));
  splice.insert(`{${written(set)}`);
  if (set.length > 0 && kept.length > 0) splice.insert(',');
  for (const member of kept) copyMember(splice, { member, write: undefined }, member === kept[0]);
  splice.insert('}');
}

function written(members: MetaMembers): string {
  return members.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',');
}
