import { connect as connectTcp, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { saslAuthenticate, saslHandshake } from './protocol-sasl.ts';
import type { Call } from './protocol.ts';
import { authenticate } from './sasl.ts';
import type { SaslOptions } from './sasl.ts';
import { WireReader, WireWriter } from './bytes.ts';

export interface ConnectionOptions {
  readonly clientId: string;
  readonly tls?: TlsOptions;
  readonly sasl?: SaslOptions;
}

interface Waiting {
  readonly correlation: number;
  readonly timer: NodeJS.Timeout;
  readonly resolve: (answer: WireReader) => void;
  readonly reject: (error: Error) => void;
}

const CONNECT_TIMEOUT = 5_000;
const ANSWER_TIMEOUT = 30_000;
const RECEIVE_BYTES = 64 << 10;
/** No requested answer is larger, so a server that announces a larger one is not Kafka. */
const MAX_ANSWER = 256 << 20;
/** The part of the life of a login after which the connection is no longer used. */
const FRESH = 0.8;

/**
 * One connection to one broker. Requests are sent at once and answered in order. Whatever goes wrong ends the connection and
 * fails all that wait: open another. An answer is received into a buffer of its own, by way of one buffer that is
 * used for every read, so that nothing is left for the collector but what was asked for.
 */
export class Connection {
  /** Resolves when the connection is open and, if needed, logged in. No request may be sent before. */
  readonly ready: Promise<void>;
  readonly #clientId: string;
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #correlation = 0;
  #ended: Error | undefined;
  #retired = false;
  #staleAt = Number.POSITIVE_INFINITY;
  readonly #length = Buffer.alloc(4);
  #lengthBytes = 0;
  #answer: Buffer | undefined;
  #answerBytes = 0;

  constructor(address: string, options: ConnectionOptions) {
    this.#clientId = options.clientId;
    const { host, port } = parseAddress(address);
    const onread = {
      buffer: Buffer.allocUnsafeSlow(RECEIVE_BYTES),
      callback: (bytes: number, buffer: Uint8Array) => {
        this.#receive(buffer as Buffer, bytes);
        return true;
      },
    };
    // tls.connect takes `onread` as net.connect does; its types lag behind.
    const how = { host, port, onread };
    this.#socket = options.tls
      ? connectTls({ servername: isIP(host) === 0 ? host : '', ...options.tls, ...how })
      : connectTcp(how);
    this.#socket.setNoDelay(true).setKeepAlive(true, ANSWER_TIMEOUT);
    this.#socket.once('error', (error) => this.#end(error));
    this.#socket.once('close', () => this.#end(new Error(`${address} closed the connection`)));
    this.ready = this.#open(address, options);
    this.ready.catch((error: unknown) => this.#end(error as Error)); // its caller sees the rejection
  }

  /** True while the connection takes requests, also while it is being opened. */
  get usable(): boolean {
    return this.#ended === undefined && !this.#retired && Date.now() < this.#staleAt;
  }

  async send<T>(call: Call<T>): Promise<T> {
    if (this.#ended) throw this.#ended;
    const correlation = (this.#correlation = (this.#correlation + 1) & 0x7fffffff);
    const { promise, resolve, reject } = Promise.withResolvers<WireReader>();
    const timeout = call.timeout ?? ANSWER_TIMEOUT;
    const late = (): void => this.#end(new Error(`no answer to ${call.name} for ${timeout / 1000} s`));
    this.#waiting.push({ correlation, timer: setTimeout(late, timeout), resolve, reject });
    const request = new WireWriter();
    request.int16(call.key).int16(call.version).int32(correlation).string(this.#clientId);
    if (call.flexible === true) request.tags();
    call.write(request);
    this.#socket.cork();
    for (const piece of request.framed()) this.#socket.write(piece);
    this.#socket.uncork();
    const answer = await promise;
    if (call.flexible === true) answer.tags();
    return call.read(answer);
  }

  /** Accepts no more requests, and ends when the waiting ones are answered. */
  retire(): void {
    this.#retired = true;
    if (this.#waiting.length === 0) this.close();
  }

  close(): void {
    this.#end(new Error('the connection was closed'));
  }

  async #open(address: string, { tls, sasl }: ConnectionOptions): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const late = (): void => this.#end(new Error(`${address} does not answer`));
    const timer = setTimeout(late, CONNECT_TIMEOUT);
    this.#socket.once(tls ? 'secureConnect' : 'connect', () => resolve(undefined));
    this.#socket.once('close', () => reject(this.#ended ?? new Error(`${address} closed the connection`)));
    await promise.finally(() => clearTimeout(timer));
    if (sasl) await this.#login(sasl);
  }

  async #login(sasl: SaslOptions): Promise<void> {
    const begun = Date.now();
    await this.send(saslHandshake(sasl.mechanism));
    await authenticate(sasl, async (message) => {
      const { bytes, lifetime } = await this.send(saslAuthenticate(message));
      if (lifetime > 0) this.#staleAt = begun + lifetime * FRESH;
      return bytes;
    });
  }

  #receive(data: Buffer, bytes: number): void {
    for (let at = 0; at < bytes && this.#ended === undefined;) {
      if (!this.#answer) {
        this.#length[this.#lengthBytes++] = data[at++] as number;
        if (this.#lengthBytes === 4) this.#begin(this.#length.readInt32BE());
        continue;
      }
      const end = Math.min(bytes, at + this.#answer.length - this.#answerBytes);
      data.copy(this.#answer, this.#answerBytes, at, end);
      this.#answerBytes += end - at;
      at = end;
      if (this.#answerBytes === this.#answer.length) this.#deliver(this.#answer);
    }
  }

  #begin(length: number): void {
    this.#lengthBytes = this.#answerBytes = 0;
    if (length < 4 || length > MAX_ANSWER)
      this.#end(new Error(`an answer of ${length} bytes is not Kafka's`));
    else this.#answer = Buffer.allocUnsafe(length);
  }

  #deliver(answer: Buffer): void {
    this.#answer = undefined;
    const from = new WireReader(answer);
    const correlation = from.int32();
    const waiting = this.#waiting.shift();
    if (waiting?.correlation !== correlation) {
      if (waiting) this.#waiting.unshift(waiting);
      this.#end(new Error('an answer came out of order'));
      return;
    }
    clearTimeout(waiting.timer);
    waiting.resolve(from);
    if (this.#retired && this.#waiting.length === 0) this.close();
  }

  #end(error: Error): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#socket.destroy();
    for (const { timer, reject } of this.#waiting.splice(0)) {
      clearTimeout(timer);
      reject(error);
    }
  }
}

function parseAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
}
