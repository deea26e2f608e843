/** The roles of a process. By default one process has all of them. */
export const ROLES = ['gateway', 'capture', 'planner', 'worker', 'projector', 'janitor'] as const;

export type Role = (typeof ROLES)[number];

export function isRole(name: string): name is Role {
  return (ROLES as readonly string[]).includes(name);
}
