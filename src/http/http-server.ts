import { createServer, STATUS_CODES } from 'node:http';
import type { RequestListener, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { operationOutcome } from '../fhir/operation-outcome.ts';

/** Four times the default of Node, because lists of patients and filters make long URLs. */
const MAX_HEADER_BYTES = 64 * 1024;
/** Time in ms in which the rest of a refused request is read and dropped. If the socket is closed earlier, the client loses the answer. */
const LINGER_MS = 2_000;

/** Creates a server that answers with an OperationOutcome also where the parser of Node refuses a request. */
export function createHttpServer(listener: RequestListener): Server {
  const latest = new WeakMap<Duplex, ServerResponse>();
  const refused = new WeakSet<Duplex>();
  // Node would refuse a request without Host with an empty body; the listener has to do it.
  const server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, requireHostHeader: false },
    (request, response) => {
      latest.set(request.socket, response);
      listener(request, response);
    },
  );
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (refused.has(socket)) return; // Each further piece of the same request is an error as well.
    refused.add(socket);
    const response = latest.get(socket);
    const answer = (): void => refuse(socket, ...refusalOf(error));
    if (!socket.writable) socket.destroy();
    else if (!response || response.writableFinished) answer();
    // The error comes after a whole request. The answer to that request, such as a 202, must not be lost.
    else if (response.req.complete) response.once('finish', answer);
    else if (response.headersSent) socket.destroy();
    else answer();
  });
  server.on('checkExpectation', (request, response) => {
    const expected = JSON.stringify(request.headers.expect);
    const answer = JSON.stringify(
      operationOutcome('error', 'not-supported', `Expect: ${expected} is not met`),
    );
    response.writeHead(417, { 'Content-Type': 'application/fhir+json; charset=utf-8' }).end(answer);
  });
  server.on('connect', (_request, socket) => {
    refuse(socket, 405, 'CONNECT is not possible: this is no proxy');
  });
  return server;
}

function refusalOf({ code, message }: NodeJS.ErrnoException): [status: number, message: string] {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return [
        431,
        `the URL and the headers have more than ${MAX_HEADER_BYTES} bytes; send long lists of parameters by POST`,
      ];
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, 'the request did not arrive in time'];
    default:
      return [400, `the request is not HTTP: ${message}`];
  }
}

function refuse(socket: Duplex, status: number, message: string): void {
  const body = JSON.stringify(operationOutcome('error', 'invalid', message));
  socket.end(
    [
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
      'Content-Type: application/fhir+json; charset=utf-8',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}
