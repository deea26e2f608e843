import { withClient } from './changes.ts';

/** The Group of 1 % of the patients. */
export const ONE_PERCENT = 'one-percent';

/** Every hundredth patient of all in random order, as a new Group. Returns their ids. */
export function addGroup(url: string): Promise<readonly string[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `SELECT id FROM (SELECT id, row_number() OVER (ORDER BY md5(id)) AS n FROM resource
         WHERE type = 'Patient' AND NOT deleted) p WHERE n % 100 = 1 ORDER BY n`,
    );
    const ids = rows.map(({ id }) => id);
    await client.query(
      `INSERT INTO resource (type, id, version, last_updated, body) VALUES ('Group', $1, 1, now(), $2)`,
      [ONE_PERCENT, groupOf(ids)],
    );
    return ids;
  });
}

function groupOf(ids: readonly string[]): string {
  const member = ids.map((id) => ({ entity: { reference: `Patient/${id}` } }));
  return JSON.stringify({ resourceType: 'Group', id: ONE_PERCENT, type: 'person', actual: true, member });
}

/** How many resources exports should have. */
export interface Expected {
  readonly allPatients: number;
  readonly group: number;
  readonly onePatient: number;
}

/**
 * Counted without any code of Headwater's, which is possible because a resource of this data refers to one patient only,
 * Groups aside, and ids of patients are UUIDs. An export of a Group has that Group, those of patients have each that names
 * one of them. A Device is in no compartment of R4.
 */
export function expectedOf(url: string, members: readonly string[]): Promise<Expected> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<Expected>(
      `SELECT count(*)::int AS "allPatients",
         count(*) FILTER (WHERE type <> 'Group' AND patient = ANY ($1))::int + 1 AS "group",
         count(*) FILTER (WHERE patient = $2 OR (type = 'Group' AND strpos(body, $2) > 0))::int AS "onePatient"
       FROM (SELECT type, body, CASE type WHEN 'Patient' THEN id ELSE substr(body, at + 9, 36) END AS patient
             FROM (SELECT type, id, body, strpos(body, '"Patient/') AS at
                   FROM resource WHERE NOT deleted AND type <> 'Device') r
             WHERE type = 'Patient' OR at > 0) p`,
      [members, members[0]],
    );
    const [expected] = rows;
    if (!expected) throw new Error('PostgreSQL counted nothing');
    return expected;
  });
}
