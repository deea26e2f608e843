/** What one process can do. All of them run together by default. */
export const ROLES = ['gateway', 'capture', 'planner', 'worker', 'projector', 'janitor'] as const;

export type Role = (typeof ROLES)[number];

export function isRole(name: string): name is Role {
  return (ROLES as readonly string[]).includes(name);
}
