import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { ObjectServer } from './object-servers.ts';

/** A fault that the proxy shows to its clients. The server gets no request that the proxy answers or resets. */
export type Fault =
  | { readonly type: 'answer'; readonly status: number; readonly headers?: OutgoingHttpHeaders }
  /** The client sees a reset before an answer. */
  | { readonly type: 'reset' }
  /** The server does what it was asked for, and the client sees a reset instead of the answer. */
  | { readonly type: 'lose-answer' }
  /** Without `ms`, the request waits until the fault ends. */
  | { readonly type: 'delay'; readonly ms?: number }
  /** Resets the request that passes a number of bytes. The bodies of all requests count, from the last cut on. */
  | { readonly type: 'cut-upload' | 'cut-download'; readonly afterBytes: number };

/** The requests that a fault hits. All of them, without limits. */
export interface Limits {
  readonly times?: number;
  readonly forMs?: number;
  readonly only?: (request: IncomingMessage) => boolean;
}

/** The longest time of a timer of Node.js. */
const FOREVER_MS = 2 ** 31 - 1;
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'expect']);

/** A fault at work. */
export class Injected {
  readonly fault: Fault;
  readonly #limits: Limits;
  readonly #end = new AbortController();
  #hits = 0;
  #bytes = 0;

  constructor(fault: Fault, limits: Limits) {
    this.fault = fault;
    this.#limits = limits;
    if (limits.forMs !== undefined) setTimeout(() => this.end(), limits.forMs).unref();
  }

  /** Requests that were answered, reset, delayed or cut. */
  get hits(): number {
    return this.#hits;
  }

  get ended(): AbortSignal {
    return this.#end.signal;
  }

  /** Ends the fault. Requests that wait go on. */
  end(): void {
    this.#end.abort();
  }

  applies(incoming: IncomingMessage): boolean {
    const { times = Infinity, only = () => true } = this.#limits;
    return !this.ended.aborted && this.#hits < times && only(incoming);
  }

  hit(): void {
    this.#hits++;
  }

  /** Passes the bytes of a body on, and fails where the fault cuts it. */
  async *cut(body: AsyncIterable<Buffer>, afterBytes: number): AsyncGenerator<Buffer> {
    for await (const chunk of body) {
      const left = afterBytes - this.#bytes;
      this.#bytes += chunk.length;
      const cuts =
        chunk.length > left && !this.ended.aborted && this.#hits < (this.#limits.times ?? Infinity);
      if (!cuts) {
        yield chunk;
        continue;
      }
      this.#bytes = 0;
      this.#hits++;
      if (left > 0) yield chunk.subarray(0, left);
      throw new Error('the fault proxy cuts the body');
    }
  }
}

/**
 * Stands before an HTTP server and passes requests on, except where a test injects a fault. Without faults, its clients see the server:
 * the proxy adds, changes and retries nothing. A server that is gone looks like a reset.
 */
export class FaultProxy {
  readonly #server: URL;
  readonly #replacesHost: boolean;
  readonly #http = createServer((incoming, answer) => void this.#handle(incoming, answer));
  #faults: Injected[] = [];
  #port = 0;

  /**
   * @param server the address of the server
   * @param replacesHost the server gets its own address as Host, and not the proxy's. A signature that covers the port then fails.
   */
  private constructor(server: URL, replacesHost: boolean) {
    this.#server = server;
    this.#replacesHost = replacesHost;
  }

  static async listen(server: string, { replacesHost = false } = {}): Promise<FaultProxy> {
    const proxy = new FaultProxy(new URL(server), replacesHost);
    await proxy.connect();
    return proxy;
  }

  /** The address of the server, through the proxy. */
  get url(): string {
    const url = new URL(this.#server);
    url.port = String(this.#port);
    return url.href.replace(/\/$/, '');
  }

  /** The first of several faults that applies to a request hits it. */
  inject(fault: Fault, limits: Limits = {}): Injected {
    const injected = new Injected(fault, limits);
    this.#faults.push(injected);
    return injected;
  }

  /** Ends all faults. */
  clear(): void {
    for (const fault of this.#faults) fault.end();
    this.#faults = [];
  }

  /** Refuses connections, and ends those that there are, until `connect`. */
  async disconnect(): Promise<void> {
    const closed = once(this.#http, 'close');
    this.#http.close();
    this.#http.closeAllConnections();
    await closed;
  }

  /** Takes connections again, at the same address. */
  async connect(): Promise<void> {
    this.#http.listen(this.#port, '127.0.0.1');
    await once(this.#http, 'listening');
    this.#port = (this.#http.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.clear();
    if (this.#http.listening) await this.disconnect();
  }

  async #handle(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const injected = this.#faults.find((one) => one.applies(incoming));
    if (!injected || (await passes(injected, incoming, answer))) this.#forward(incoming, answer, injected);
  }

  #forward(incoming: IncomingMessage, answer: ServerResponse, injected: Injected | undefined): void {
    const { hostname: host, port, host: ownHost } = this.#server;
    const headers = { ...endToEnd(incoming.headers), ...(this.#replacesHost && { host: ownHost }) };
    const { method, url: path, socket } = incoming;
    const outgoing = request({ host, port, method, path, headers, agent: false });
    outgoing.on('error', () => socket.resetAndDestroy());
    answer.once('close', () => outgoing.destroy());
    outgoing.once('response', (reply) => {
      if (injected?.fault.type === 'lose-answer') {
        reply.resume().once('end', () => socket.resetAndDestroy());
        return;
      }
      answer.writeHead(reply.statusCode ?? 502, this.#moved(endToEnd(reply.headers)));
      pipeline(reply, cutter('cut-download', injected), answer, () => undefined);
    });
    pipeline(incoming, cutter('cut-upload', injected), outgoing, () => undefined);
  }

  /** A server names itself where an upload goes on. */
  #moved(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
    const { location } = headers;
    if (typeof location !== 'string' || !location.startsWith(this.#server.origin)) return headers;
    return { ...headers, location: new URL(this.url).origin + location.slice(this.#server.origin.length) };
  }
}

/** Does what the fault does before the server gets the request. Resolves to whether the server gets it. */
async function passes(
  injected: Injected,
  incoming: IncomingMessage,
  answer: ServerResponse,
): Promise<boolean> {
  const { fault } = injected;
  switch (fault.type) {
    case 'answer':
      injected.hit();
      incoming.resume(); // a client that still sends would see a reset
      if (!incoming.readableEnded) await once(incoming, 'end').catch(() => undefined);
      answer.writeHead(fault.status, fault.headers).end();
      return false;
    case 'reset':
      injected.hit();
      incoming.socket.resetAndDestroy();
      return false;
    case 'delay': {
      injected.hit();
      const gone = new AbortController();
      answer.once('close', () => gone.abort());
      const signal = AbortSignal.any([injected.ended, gone.signal]);
      await delay(fault.ms ?? FOREVER_MS, undefined, { signal }).catch(() => undefined);
      return !gone.signal.aborted;
    }
    case 'lose-answer':
      injected.hit();
      return true;
    case 'cut-upload':
    case 'cut-download':
      return true;
  }
}

function endToEnd(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name)));
}

function cutter(type: 'cut-upload' | 'cut-download', injected: Injected | undefined) {
  return (body: AsyncIterable<Buffer>): AsyncIterable<Buffer> =>
    injected?.fault.type === type ? injected.cut(body, injected.fault.afterBytes) : body;
}

/** A server behind a proxy, and the settings of Headwater by which it uses the proxy. */
export interface ProxiedServer {
  readonly proxy: FaultProxy;
  readonly settings: Readonly<Record<string, string>>;
}

/**
 * Puts a proxy before an object server. Headwater signs with the address of the proxy. S3 verifies the Host that it gets, so the proxy
 * passes it on; Azure signs no host. Google's SDK signs the host without its port, and fake-gcs-server knows only its own address.
 */
export async function behindProxy(server: ObjectServer): Promise<ProxiedServer> {
  const [setting, endpoint] =
    Object.entries(server.settings).find(([name]) => name.endsWith('_ENDPOINT')) ?? [];
  if (setting === undefined || endpoint === undefined) throw new Error('the server has no endpoint');
  const proxy = await FaultProxy.listen(endpoint, { replacesHost: setting === 'HEADWATER_GCS_ENDPOINT' });
  return { proxy, settings: { ...server.settings, [setting]: proxy.url } };
}
