import { createHash, createVerify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';

export interface GcsGateOptions {
  readonly port: number;
  /** Port of fake-gcs-server. */
  readonly server: number;
  /** The one service account. */
  readonly email: string;
  readonly key: KeyObject;
}

interface Upload {
  received: number;
  cancelled: boolean;
  /** The answer to the last chunk, which is given again. */
  finished: Buffer | undefined;
}

/**
 * Stands before fake-gcs-server and does what Google does and that server does not: it refuses reads by URL without a valid V4 signature,
 * tells how much of an unfinished upload it has, refuses cancelled uploads, and keeps the content type of a resumable upload.
 * Source: Cloud Storage documentation, "Signatures" and "Resumable uploads"
 */
export class GcsGate {
  readonly #options: GcsGateOptions;
  readonly #server: Server;
  readonly #tokens = new Set<string>();
  readonly #uploads = new Map<string, Upload>();

  private constructor(options: GcsGateOptions) {
    this.#options = options;
    this.#server = createServer((incoming, answer) => this.#handle(incoming, answer));
  }

  static async listen(options: GcsGateOptions): Promise<GcsGate> {
    const gate = new GcsGate(options);
    gate.#server.listen(options.port, '127.0.0.1');
    await once(gate.#server, 'listening');
    return gate;
  }

  /** Takes requests with this token, which another server has given to the service account. */
  accept(token: string): void {
    this.#tokens.add(token);
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close').catch(() => undefined);
  }

  #handle(incoming: IncomingMessage, answer: ServerResponse): void {
    const url = new URL(incoming.url ?? '/', `http://127.0.0.1:${this.#options.port}`);
    const isApi = /^\/(?:storage|upload|download|batch|resumable)\//.test(url.pathname);
    // The URL of an upload is a capability.
    const isUpload = this.#uploads.has(url.searchParams.get('upload_id') ?? '');
    const refusal = isUpload
      ? undefined
      : isApi
        ? this.#unauthenticated(incoming)
        : this.#refusal(incoming, url);
    if (refusal !== undefined) {
      refuse(answer, refusal);
      return;
    }
    const id = url.searchParams.get('upload_id');
    const upload = id === null ? undefined : this.#uploads.get(id);
    if (id !== null && upload) {
      if (incoming.method === 'DELETE') {
        upload.cancelled = true;
        return void answer.writeHead(499).end();
      }
      if (upload.cancelled) return void answer.writeHead(499).end();
      const range = incoming.headers['content-range'] ?? '';
      if (
        /^bytes \*\/(?:\*|\d+)$/.test(range) &&
        incoming.headers['content-length'] === '0' &&
        range.endsWith('*')
      ) {
        if (upload.finished) {
          answer.writeHead(200, { 'content-type': 'application/json' }).end(upload.finished);
          return;
        }
        const headers = upload.received > 0 ? { Range: `bytes=0-${upload.received - 1}` } : {};
        return void answer.writeHead(308, headers).end();
      }
      const sent = /^bytes \d+-(\d+)\//.exec(range)?.[1];
      incoming.once('end', () => (upload.received = sent === undefined ? upload.received : Number(sent) + 1));
    }
    void this.#forward(incoming, answer, url, isApi);
  }

  async #forward(incoming: IncomingMessage, answer: ServerResponse, url: URL, isApi: boolean): Promise<void> {
    const { server } = this.#options;
    const begins = url.searchParams.get('uploadType') === 'resumable' && incoming.method === 'POST';
    const type = incoming.headers['x-upload-content-type'];
    const body =
      begins && typeof type === 'string' ? withContentType(await bodyOf(incoming), type) : undefined;
    const headers = {
      ...incoming.headers,
      ...(body && { 'content-length': String(body.length), 'content-type': 'application/json' }),
    };
    const outgoing = request(
      { host: '127.0.0.1', port: server, method: incoming.method, path: incoming.url, headers, agent: false },
      (reply) => {
        const changed = { ...reply.headers };
        if (!isApi) {
          for (const [parameter, header] of [
            ['response-content-type', 'content-type'],
            ['response-content-disposition', 'content-disposition'],
          ] as const) {
            const value = url.searchParams.get(parameter);
            if (value !== null) changed[header] = value;
          }
        }
        const id = new URL(reply.headers.location ?? '/', 'http://x').searchParams.get('upload_id');
        if (begins && id !== null)
          this.#uploads.set(id, { received: 0, cancelled: false, finished: undefined });
        const upload = this.#uploads.get(url.searchParams.get('upload_id') ?? '');
        if (upload && reply.statusCode !== 308) {
          const chunks: Buffer[] = [];
          reply.on('data', (chunk: Buffer) => chunks.push(chunk));
          reply.once('end', () => (upload.finished = Buffer.concat(chunks)));
        }
        answer.writeHead(reply.statusCode ?? 502, changed);
        reply.pipe(answer);
        reply.once('error', () => answer.destroy());
      },
    );
    outgoing.once('error', () => (answer.headersSent ? answer.destroy() : answer.writeHead(503).end()));
    incoming.once('error', () => outgoing.destroy());
    answer.once('close', () => outgoing.destroy());
    if (body) outgoing.end(body);
    else incoming.pipe(outgoing);
  }

  /** Returns why Google would refuse a request to the API, or undefined: its token is neither accepted nor signed by the service account. */
  #unauthenticated(incoming: IncomingMessage): string | undefined {
    const token = (incoming.headers.authorization ?? '').replace(/^Bearer /, '');
    if (this.#tokens.has(token)) return undefined;
    const [header = '', claims = '', signature = ''] = token.split('.');
    const { iss, exp } = JSON.parse(Buffer.from(claims, 'base64url').toString() || '{}') as {
      iss?: string;
      exp?: number;
    };
    const verified = createVerify('RSA-SHA256')
      .update(`${header}.${claims}`)
      .verify(this.#options.key, signature, 'base64url');
    return verified && iss === this.#options.email && (exp ?? 0) * 1000 > Date.now()
      ? undefined
      : 'Unauthorized';
  }

  /** Returns why Google would refuse a signed URL, or undefined. */
  #refusal(incoming: IncomingMessage, url: URL): string | undefined {
    const query = url.searchParams;
    const signature = query.get('X-Goog-Signature');
    if (signature === null || query.get('X-Goog-Algorithm') !== 'GOOG4-RSA-SHA256') return 'AccessDenied';
    const [email, ...scope] = (query.get('X-Goog-Credential') ?? '').split('/');
    if (email !== this.#options.email) return 'AccessDenied';
    const date = query.get('X-Goog-Date') ?? '';
    const begin = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
    const seconds = Number(query.get('X-Goog-Expires'));
    if (!(seconds > 0 && seconds <= 604_800)) return 'AuthenticationError';
    if (!(Date.now() < begin + seconds * 1000 && Date.now() > begin - 900_000)) return 'ExpiredToken';
    const host = incoming.headers.host ?? '';
    const signed = [host, host.replace(/:\d+$/, '')].some((name) => {
      const text = ['GOOG4-RSA-SHA256', date, scope.join('/'), canonicalHash(incoming, url, name)].join('\n');
      return createVerify('RSA-SHA256').update(text).verify(this.#options.key, signature, 'hex');
    });
    return signed ? undefined : 'SignatureDoesNotMatch';
  }
}

function canonicalHash(incoming: IncomingMessage, url: URL, host: string): string {
  const encode = (text: string): string =>
    encodeURIComponent(text).replace(
      /[!'()*]/g,
      (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
    );
  const query = [...url.searchParams]
    .filter(([name]) => name !== 'X-Goog-Signature')
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');
  const names = (url.searchParams.get('X-Goog-SignedHeaders') ?? '').split(';');
  const headers = names.map(
    (name) => `${name}:${name === 'host' ? host : String(incoming.headers[name] ?? '')}\n`,
  );
  const text = [incoming.method, url.pathname, query, headers.join(''), names.join(';'), 'UNSIGNED-PAYLOAD'];
  return createHash('sha256').update(text.join('\n')).digest('hex');
}

function refuse(answer: ServerResponse, code: string): void {
  const status = { Unauthorized: 401, ExpiredToken: 400 }[code] ?? 403;
  answer.writeHead(status, { 'content-type': 'application/xml' });
  answer.end(`<?xml version='1.0' encoding='UTF-8'?><Error><Code>${code}</Code></Error>`);
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function withContentType(body: Buffer, contentType: string): Buffer {
  const metadata = body.length === 0 ? {} : (JSON.parse(body.toString()) as object);
  return Buffer.from(JSON.stringify({ ...metadata, contentType }));
}
