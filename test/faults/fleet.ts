import { ROLES } from '../../src/config/roles.ts';
import type { Role } from '../../src/config/roles.ts';
import type { Deployment } from './deployment.ts';
import type { RoleProcess } from './role-process.ts';

/** A deployment with one process for each role, as in production. */
export class Fleet {
  readonly #deployment: Deployment;
  readonly #processes = new Map<Role, RoleProcess>();

  constructor(deployment: Deployment) {
    this.#deployment = deployment;
  }

  start(...roles: readonly Role[]): void {
    for (const role of roles.length > 0 ? roles : ROLES)
      this.#processes.set(role, this.#deployment.start([role]));
  }

  process(role: Role): RoleProcess {
    const found = this.#processes.get(role);
    if (!found) throw new Error(`${role} was not started`);
    return found;
  }

  async kill(...roles: readonly Role[]): Promise<void> {
    await Promise.all((roles.length > 0 ? roles : ROLES).map((role) => this.process(role).kill()));
  }
}
