import pg from 'pg';
import type { Catalog } from './catalog.ts';
import { problem, qualified } from './source-problem.ts';
import type { Problem, SourceNames } from './source-problem.ts';

/** The comment by which an installation knows its publication. */
export function publicationComment(prefix: string): string {
  return `Made by Headwater, HEADWATER_TOPIC_PREFIX=${prefix}`;
}

/** Returns what keeps changes of the tables out of the publication. */
export function publicationProblems(
  { publication, tables, followed, version }: Catalog,
  { publication: name, prefix }: SourceNames,
): Problem[] {
  const quoted = pg.escapeIdentifier(name);
  const generated =
    version >= 180_000 && tables.some((table) => table?.columns.some((c) => c.generated === 's'));
  const partitioned = tables.some((table) => table?.kind === 'p');
  if (!publication) {
    const list = followed.map(qualified).join(', ');
    const options = [
      ...(generated ? ['publish_generated_columns = stored'] : []),
      ...(partitioned ? ['publish_via_partition_root = true'] : []),
    ];
    const create = `CREATE PUBLICATION ${quoted} FOR TABLE ${list}${options.length > 0 ? ` WITH (${options.join(', ')})` : ''}`;
    const comment = `COMMENT ON PUBLICATION ${quoted} IS ${pg.escapeLiteral(publicationComment(prefix))}`;
    return [{ ...problem(`there is no publication ${name}`, create), mend: [create, comment] }];
  }
  const owner = /^Made by Headwater, HEADWATER_TOPIC_PREFIX=(.+)$/.exec(publication.comment ?? '')?.[1];
  if (owner !== undefined && owner !== prefix)
    return [
      {
        text: `publication ${name} belongs to the Headwater of HEADWATER_TOPIC_PREFIX=${owner}; choose another HEADWATER_PUBLICATION`,
      },
    ];
  const ours = owner === prefix && publication.owned;
  const found = (text: string, ...sql: readonly string[]): Problem => ({
    ...problem(text, sql.join('; ')),
    run: sql,
    ...(ours && { mend: sql }),
  });
  const problems: Problem[] = [];
  if (!publication.insert || !publication.update || !publication.delete || !publication.truncate)
    problems.push(
      found(
        `publication ${name} does not publish every insert, update, delete and truncate`,
        `ALTER PUBLICATION ${quoted} SET (publish = 'insert, update, delete, truncate')`,
      ),
    );
  if (generated && publication.generated !== 's')
    problems.push(
      found(
        `publication ${name} leaves out generated columns`,
        `ALTER PUBLICATION ${quoted} SET (publish_generated_columns = stored)`,
      ),
    );
  if (partitioned && !publication.viaRoot)
    problems.push(
      found(
        `publication ${name} publishes changes of partitions under their own names`,
        `ALTER PUBLICATION ${quoted} SET (publish_via_partition_root = true)`,
      ),
    );
  for (const [i, one] of followed.entries()) {
    const table = tables[i];
    if (!table) continue;
    const add = `ALTER PUBLICATION ${quoted} ADD TABLE ${qualified(one)}`;
    const { membership } = table;
    if (!membership) problems.push(found(`publication ${name} lacks ${one.schema}.${one.table}`, add));
    else if (membership.filtered || membership.columnList)
      problems.push(
        found(
          `publication ${name} publishes only some ${membership.filtered ? 'rows' : 'columns'} of ${one.schema}.${one.table}`,
          `ALTER PUBLICATION ${quoted} DROP TABLE ${qualified(one)}`,
          add,
        ),
      );
  }
  return problems;
}
