import Mocha from 'mocha';

/** Numbers of tests by result; sent to the process that runs Mocha. */
export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const LEAK_MS = 10_000;

/** Mocha's own report, plus the counts for `run.ts` and a line about the resources that keep the process running. @public */
export default class Reporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = this.stats;
      const counts: TestCounts = { passed: passes, failed: failures, skipped: pending };
      process.send?.(counts);
      const leak = (): void => {
        const open = process.getActiveResourcesInfo().filter((name) => name !== 'PipeWrap');
        console.error(`The tests left something open (${open.join(', ')}); ending anyway.`);
        process.exit(failures);
      };
      setTimeout(leak, LEAK_MS).unref(); // fires only when something else keeps the process alive
    });
  }
}
