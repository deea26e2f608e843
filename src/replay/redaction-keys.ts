import { HeadwaterError, messageOf } from '../base/errors.ts';
import { readRedactionKey } from '../config/redaction-keys.ts';
import type { TaskRights } from '../events/tasks.ts';
import type { Redaction, RedactionKey } from '../fhir/redaction.ts';

/**
 * Returns rights whose redactions have their secret keys.
 * @throws unsupported if the worker has no such key, or another one than the grant: it would write other bytes than other workers
 */
export async function withSecrets(rights: TaskRights, folder: string | undefined): Promise<TaskRights> {
  const secrets = new Map<string, RedactionKey>();
  for (const { name, fingerprint } of keysOf(rights)) {
    const key = await readRedactionKey(folder, name).catch((error: unknown) => {
      throw new HeadwaterError('unsupported', messageOf(error)); // it fails this export and stops no worker
    });
    if (key.fingerprint !== fingerprint)
      throw new HeadwaterError(
        'unsupported',
        `the key "${name}" in HEADWATER_KEYS_FOLDER of this worker is not the key of the export: give all processes the same one`,
      );
    secrets.set(name, key);
  }
  if (secrets.size === 0) return rights;
  const withSecret = (redaction: Redaction): Redaction => {
    const key = redaction.key && secrets.get(redaction.key.name);
    return key ? { ...redaction, key } : redaction;
  };
  const rules = rights.grant.rules.map((rule) => ({ ...rule, redact: rule.redact.map(withSecret) }));
  return { ...rights, grant: { ...rights.grant, rules } };
}

function keysOf({ grant }: TaskRights): RedactionKey[] {
  return grant.rules.flatMap(({ redact }) => redact.flatMap(({ key }) => key ?? []));
}
