import { ROLES } from '../../src/config/roles.ts';
import type { Role } from '../../src/config/roles.ts';
import type { Deployment } from './deployment.ts';
import type { RoleProcess } from './role-process.ts';

/** A deployment with one process for each role, as in production. */
export class Fleet {
  readonly #deployment: Deployment;
  readonly #env: Readonly<Record<string, string>>;
  readonly #processes = new Map<Role, RoleProcess>();

  /** @param env of the processes, in addition to the deployment's settings */
  constructor(deployment: Deployment, env: Readonly<Record<string, string>> = {}) {
    this.#deployment = deployment;
    this.#env = env;
  }

  start(...roles: readonly Role[]): void {
    for (const role of roles.length > 0 ? roles : ROLES)
      this.#processes.set(role, this.#deployment.start([role], this.#env));
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
