import { Command, InvalidArgumentError, Option } from 'commander';
import { HeadwaterError, isAbort, messageOf } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';
import { settingsAsText } from '../config/help.ts';
import { isRole, ROLES } from '../config/roles.ts';
import type { Role } from '../config/roles.ts';
import * as commands from './commands.ts';
import { EXPORT_PARAMETERS } from '../events/export-parameter-table.ts';
import type { ExportParameter } from '../events/export-parameter-table.ts';
import { endProcess } from './ending.ts';

const program = new Command('headwater')
  .description('FHIR R4 Bulk Data export, replayed from a Kafka log of every committed change.')
  .showHelpAfterError('--help shows what there is.')
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .helpCommand(false);

program
  .command('start')
  .description('start a local stack with ten synthetic patients, run everything, export once, keep serving')
  .action(run(commands.start));

program
  .command('serve')
  .description('run the service; settings come from the environment')
  .option(
    '--roles <list>',
    `comma-separated, of ${ROLES.join(',')} (default: HEADWATER_ROLES, or all)`,
    parseRoles,
  )
  .addHelpText('after', () => `\nEnvironment:\n${settingsAsText()}`)
  .action(run(commands.serve));

program
  .command('load')
  .description(
    'load *.ndjson and *.ndjson.gz into the source table, replacing what is there under the same type and id',
  )
  .argument('<path>', 'folder with the files, or one file')
  .option('--source <url>', 'PostgreSQL (default: HEADWATER_SOURCE_URL, or the local stack)')
  .option('--table <schema.table>', 'source table (default: HEADWATER_SOURCE_TABLE, or public.resource)')
  .option('--json', 'print the result as JSON')
  .action(run(commands.load));

const exporting = program
  .command('export')
  .description('export from a Bulk Data server: kick-off, polling, verified downloads')
  .option(
    '--server <url>',
    "the server's FHIR base (default: what npm start serves, or HEADWATER_PUBLIC_URL and HEADWATER_HTTP_PORT say)",
  )
  .option('--group <id>', 'of the members of this Group (default: of everything)')
  .option('--all-patients', 'of every patient');
for (const { option } of EXPORT_PARAMETERS as readonly ExportParameter[]) {
  if (option?.repeated) exporting.option(option.flags, option.help, repeated);
  else if (option) exporting.option(option.flags, option.help);
}
exporting
  .option('--lenient', 'the server may ignore what it does not understand; it says so in error files')
  .option('--out <dir>', 'download the files into this folder (default: only print the manifest)')
  .option('--client <id>', 'with --key: get access tokens as this client')
  .option('--key <file>', 'its private key, as "headwater access key" makes it')
  .option('--scope <scopes>', 'scopes to ask for (default: system/*.rs)')
  .option('--json', 'print manifest and files as JSON')
  .action(run(commands.exportFiles));

program
  .command('rebuild')
  .description('empty the job tables and fold the status log again')
  .option('--json', 'print the result as JSON')
  .action(run(commands.rebuildTables));

program
  .command('topics')
  .description('make topics and schemas as declared in topics/')
  .option('--check', 'change nothing; exit with 1 when something differs')
  .option('--json', 'print the differences as JSON')
  .action(run(commands.topics));

program
  .command('reset')
  .description(
    'let the next start of capture delete every resource topic of the prefix and load everything again',
  )
  .action(run(commands.reset));

program
  .command('reload')
  .description('let the next start of capture load everything again into the topics there are')
  .action(run(commands.reload));

program
  .command('storage')
  .description('the object store of export files')
  .command('check')
  .description('write, sign, download, compare and delete a small object; exit with 1 when a step fails')
  .option('--json', 'print the result as JSON')
  .action(run(commands.storageCheck));

const source = program
  .command('source')
  .description('the FHIR server whose database is followed: HEADWATER_SOURCE_*');
source
  .command('check')
  .description('say what is missing so that it can be followed; change nothing; exit with 1 if anything is')
  .option('--json', 'print the findings as JSON')
  .action(run(commands.sourceCheck));
source
  .command('sql')
  .description('print what a superuser of its database has to run; change nothing')
  .option('--user <name>', 'the role that Headwater logs in as (default: the user of HEADWATER_SOURCE_URL)')
  .action(run(commands.sourceSql));
source
  .command('verify')
  .description(
    "compare its resources, as they would be exported, with its API's answers; exit with 1 if any differ",
  )
  .requiredOption('--fhir <url>', "base URL of the server's API")
  .addOption(new Option('--sample <n>', 'resources of each type to compare').default('20'))
  .option('--token <token>', 'bearer token for its API')
  .option('--json', 'print the findings as JSON')
  .action(run(commands.sourceVerify));

const access = program.command('access').description('who may export what: the access file and tokens');
access
  .command('check')
  .argument('<file>', 'the access file')
  .description('check it as a start does; exit with 2 and a line for each problem')
  .option('--json', 'print roles and clients as JSON')
  .action(run(commands.accessCheck));
access
  .command('explain')
  .argument('<file>', 'the access file')
  .description('say what the rules make of a resource in the log; exit with 1 when it is not exported')
  .requiredOption('--as <client>', 'id of a client of the file')
  .requiredOption('--resource <Type/id>', 'the resource')
  .addOption(
    new Option('--level <level>', 'of the export').choices(['system', 'patient', 'group']).default('patient'),
  )
  .option('--group <id>', 'the Group of a group export')
  .option('--anonymization-config <name>', 'a configuration that de-identifies, if the role demands none')
  .option('--json', 'print the findings as JSON')
  .action(run(commands.accessExplain));
access
  .command('test')
  .argument('<file>', 'the access file')
  .argument('<cases>', 'YAML or JSON: resources, and what the rules shall make of them')
  .description('judge resources by the file without any server; exit with 1 when a case fails')
  .option('--json', 'print the results as JSON')
  .action(run(commands.accessTest));
access
  .command('import')
  .argument('<file>', 'application.yaml of Fire Arrow, or an AccessPolicy of Medplum as JSON')
  .description(
    'print an access file with its rules; exit with 2 and a line for each part that cannot be carried over',
  )
  .addOption(
    new Option('--from <server>', 'whose rules they are')
      .choices(['fire-arrow', 'medplum'])
      .makeOptionMandatory(),
  )
  .action(run(commands.accessImport));
access
  .command('key')
  .description(
    'make a key pair for a client: <name>.key.json for itself, <name>.jwks.json for the access file',
  )
  .requiredOption('--name <name>', 'begin of the file names')
  .option('--out <dir>', 'folder of the files', '.')
  .addOption(
    new Option('--algorithm <name>', 'signature algorithm').choices(['ES384', 'RS384']).default('ES384'),
  )
  .action(run(commands.accessKey));
access
  .command('token')
  .description('get an access token with a private key, and print it')
  .requiredOption('--client <id>', 'its id in the access file')
  .requiredOption('--key <file>', 'its private key')
  .option('--scope <scopes>', 'scopes to ask for (default: system/*.rs)')
  .option('--server <url>', "the server's FHIR base (default: as for export)")
  .action(run(commands.accessToken));

const audit = program.command('audit').description('the audit log: who exported what, and who was refused');
audit
  .command('verify')
  .description('follow its chain of hashes; exit with 1 when a record was removed or changed')
  .option('--json', 'print the findings as JSON')
  .action(run(commands.auditVerify));
audit
  .command('list')
  .description('print its records, a FHIR AuditEvent a line')
  .option('--since <time>', 'only from this date or instant on')
  .option('--kind <kind>', 'only of this kind, such as export.completed')
  .option('--job <id>', 'only of this export')
  .action(run(commands.auditList));
audit
  .command('disclosures')
  .description('print the completed exports that held data of a patient')
  .requiredOption('--patient <id>', 'the patient')
  .option('--since <time>', 'only from this date or instant on')
  .option('--json', 'print the AuditEvents of these exports, one a line')
  .action(run(commands.auditDisclosures));

const stack = program.command('stack').description('the local PostgreSQL, Kafka and schema registry');
stack
  .command('up')
  .description('start what does not run, and leave it running')
  .option('--json', 'print the state as JSON')
  .action(run(commands.stackUpCommand));
stack
  .command('down')
  .description('end it')
  .option('--delete-data', 'also delete its databases, topics, schemas and the export files')
  .option('--json', 'print the result as JSON')
  .action(run(commands.stackDownCommand));
stack
  .command('status')
  .description('what runs, and where; exit with 1 when not all of it does')
  .option('--json', 'print the state as JSON')
  .action(run(commands.stackStatusCommand));

const USERS: ReadonlySet<ErrorCode> = new Set(['bad-config', 'bad-request', 'refused']);

await program.parseAsync();

/** Ends with one line a problem and an exit code: 2 for what the user has to change, 130 after a Ctrl-C, 1 for the rest. */
function run<Arguments extends unknown[]>(
  command: (...args: Arguments) => Promise<number>,
): (...args: Arguments) => Promise<void> {
  return async (...args) => {
    try {
      process.exitCode = await command(...args);
    } catch (error) {
      if (isAbort(error)) {
        process.exitCode = 130;
        return;
      }
      if (!(error instanceof HeadwaterError)) {
        process.exitCode = 1;
        throw error;
      }
      process.stderr.write(`${messageOf(error)}\n`);
      process.exitCode = USERS.has(error.code) ? 2 : 1;
    } finally {
      endProcess();
    }
  };
}

function list(text: string): string[] {
  return text.split(',').map((item) => item.trim());
}

function repeated(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

function parseRoles(text: string): Role[] {
  return list(text).map((role) => {
    if (!isRole(role)) throw new InvalidArgumentError(`"${role}" is not one of ${ROLES.join(', ')}`);
    return role;
  });
}
