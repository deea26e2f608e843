import { lookup } from 'node:dns';
import type { LookupAddress } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { RequestOptions } from 'node:https';
import { BlockList, isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import { HeadwaterError } from '../base/errors.ts';

/** The most bytes of an answer. */
const MAX_BYTES = 1 << 20;
/** In ms: the longest time for a whole answer. */
const PATIENCE = 5_000;

/** Addresses outside of the public internet. The operator's own services may be there. */
const PRIVATE = new BlockList();
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const)
  PRIVATE.addSubnet(net, bits, 'ipv4');
for (const [net, bits] of [
  ['::', 96], // the unspecified, loopback and IPv4-compatible ones
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
] as const)
  PRIVATE.addSubnet(net, bits, 'ipv6');

export function isPrivateAddress(address: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  const plain = mapped ?? address;
  const version = isIP(plain);
  return version === 0 || PRIVATE.check(plain, version === 6 ? 'ipv6' : 'ipv4');
}

export interface Fetched {
  /** 200, or 400 if a form was posted: that answer is about the form. */
  readonly status: number;
  readonly text: string;
  /** The header Cache-Control, if there is one. */
  readonly cacheControl: string | undefined;
}

/** A form to post, and the credentials of its sender. */
export interface Posted {
  readonly authorization: string;
  readonly form: URLSearchParams;
}

/**
 * Fetches a JSON document from a URL that another party has named: over https, without redirects, from a public address, and within
 * limits of size and time. It connects to the address that it has checked, so a later DNS answer changes nothing.
 * @param allowedHosts hosts that the operator trusts: their addresses may be private, and on loopback they need no TLS
 * @throws unavailable with the reason
 */
export function fetchDocument(
  url: string,
  allowedHosts: readonly string[],
  posted?: Posted,
): Promise<Fetched> {
  const target = new URL(url);
  const host = target.hostname.replace(/^\[|\]$/g, '');
  const trusted = allowedHosts.includes(host) || allowedHosts.includes(target.host);
  const why = forbiddenUrl(target, host, trusted);
  if (why !== undefined) return Promise.reject(unavailable(url, why));
  const options: RequestOptions = {
    method: posted ? 'POST' : 'GET',
    headers: {
      ...{ accept: 'application/json', 'accept-encoding': 'identity' },
      ...(posted && {
        authorization: posted.authorization,
        'content-type': 'application/x-www-form-urlencoded',
      }),
    },
    agent: false, // no check would see the address of a kept connection
    lookup: checkedLookup(trusted),
    signal: AbortSignal.timeout(PATIENCE),
  };
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => {
      reject(unavailable(url, reason));
      asked.destroy();
    };
    const asked = (target.protocol === 'http:' ? httpRequest : httpsRequest)(target, options, (answer) => {
      const { statusCode = 0, headers } = answer;
      if (statusCode !== 200 && !(posted && statusCode === 400)) return fail(`it answers ${statusCode}`);
      if ((headers['content-encoding'] ?? 'identity') !== 'identity') return fail('it answers compressed');
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_BYTES) return fail('its answer is longer than 1 MiB');
        chunks.push(chunk);
      });
      answer.on('end', () =>
        resolve({
          ...{ status: statusCode, text: Buffer.concat(chunks).toString('utf8') },
          cacheControl: headers['cache-control'],
        }),
      );
      answer.on('error', (error) => fail(error.message));
    });
    asked.on('error', (error) => fail(error.message));
    asked.end(posted?.form.toString());
  });
}

/** Returns the reason why no request may go to a URL; undefined if it may. */
function forbiddenUrl(target: URL, host: string, trusted: boolean): string | undefined {
  if (target.username !== '' || target.password !== '') return 'the URL has a user or password';
  if (target.protocol === 'http:' && !(trusted && isLoopback(host))) return 'it is not https';
  if (target.protocol !== 'https:' && target.protocol !== 'http:') return 'it is not https';
  if (!trusted && isIP(host) !== 0 && isPrivateAddress(host)) return 'its address is private';
  return undefined;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function checkedLookup(trusted: boolean): LookupFunction {
  return (host, options, done) => {
    lookup(host, { ...options, all: true }, (error, found: LookupAddress[]) => {
      const good = error ? [] : found.filter(({ address }) => trusted || !isPrivateAddress(address));
      const [first] = good;
      if (error || !first) {
        const none = error ?? Object.assign(new Error('its address is private'), { code: 'EACCES' });
        if (options.all) done(none, []);
        else done(none, '', 4);
      } else if (options.all) done(null, good);
      else done(null, first.address, first.family);
    });
  };
}

function unavailable(url: string, reason: string): HeadwaterError {
  return new HeadwaterError('unavailable', `cannot fetch ${url}: ${reason}`);
}
