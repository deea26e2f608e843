import type { IncomingMessage } from 'node:http';
import type { Context } from 'koa';
import type { Access } from '../access/access.ts';
import type { AuditAgent } from '../events/audit.ts';
import type { Granted } from '../access/grants.ts';
import type { Identity } from '../access/identity.ts';
import { HeadwaterError } from '../base/errors.ts';
import type { ExportParameters } from '../events/request.ts';
import type { JobView } from '../jobs/job.ts';

/** The sender of a request. A job belongs to one client; other clients get the answers for an unknown job. */
export interface Client {
  readonly id: string;
  /** The identity of its token, and the access file; undefined in an open server. */
  readonly rights: Rights | undefined;
  /** For the audit log. */
  readonly agent: AuditAgent;
}

interface Rights {
  readonly identity: Identity;
  readonly access: Access;
}

/** Returns the client of a request: the holder of its token or, in an open server, the address of its connection. Throws as `Access.authenticate`. */
export async function clientOf(ctx: Context, access: Access | undefined): Promise<Client> {
  const address = addressOf(ctx);
  if (!access) return { id: address, rights: undefined, agent: { address, client: address } };
  const identity = await access.authenticate(ctx.req.headersDistinct['authorization'] ?? []);
  const { issuer, client, subject, patient, roles, tokenId } = identity;
  const agent = { address, issuer, client, subject, patient, roles, tokenId };
  agents.set(ctx.req, agent);
  return { id: ownerId(identity), rights: { identity, access }, agent };
}

/** The clients of the requests that are being answered, by which a refusal names them. */
const agents = new WeakMap<IncomingMessage, AuditAgent>();

/** Returns the client of a request as far as it is known: one that has not been authenticated has an address only. */
export function agentOf(ctx: Context): AuditAgent {
  return agents.get(ctx.req) ?? { address: addressOf(ctx) };
}

/** Returns the address of the connection. */
function addressOf(ctx: Context): string {
  const address = (ctx.req.socket.remoteAddress ?? 'unknown').replace(/^::ffff:/, '');
  return address === '::1' ? '127.0.0.1' : address; // both are this machine
}

/** Returns the owner of the jobs of an identity. The parts are unambiguous, because an issuer is a URL without spaces. */
function ownerId({ issuer, client, patient }: Identity): string {
  return patient === undefined ? `${issuer} ${client}` : `${issuer} ${client} Patient/${patient}`;
}

/** Returns the client's rights for a request; undefined in an open server. Throws as `resolveGrant`. */
export function grantTo({ rights }: Client, asked: ExportParameters, lenient: boolean): Granted | undefined {
  return rights?.access.grant(rights.identity, asked, lenient);
}

/**
 * Throws `forbidden` or `insufficient-scope` if the client's present rights no longer cover its job. The searches of the job have the rights of its
 * kick-off in them already, so they are not looked at again.
 * @param type checks the files of this type only
 */
export function checkJob(client: Client, job: Pick<JobView, 'parameters' | 'files'>, type?: string): void {
  const granted = grantTo(client, { ...job.parameters, types: [], typeFilters: [], warnings: [] }, false);
  if (!granted) return;
  const output = job.files.filter(({ kind }) => kind === 'output').map((file) => file.type);
  const types = type === undefined ? output : output.filter((one) => one === type);
  const beyond = types.find((one) => !granted.grant.types.includes(one));
  if (beyond !== undefined)
    throw new HeadwaterError('forbidden', `your rights no longer cover ${beyond}, which this export holds`, {
      subject: '_type',
    });
}
