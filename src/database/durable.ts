/**
 * SQL for a transaction whose result is promised to a client: its commit waits for the disk, and for a synchronous standby if there is
 * one, even if the role or database has a weaker synchronous_commit.
 */
export const MAKE_DURABLE = `SELECT set_config('synchronous_commit', 'on', true)
  WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')`;
