/** A small HTTP server on the loopback interface that serves files, and breaks in chosen ways. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { onTestFinished } from 'vitest';

export interface ServerFaults {
  /** false: every request gets the whole file, with status 200 */
  readonly ranges?: boolean;
  /** bytes of body after which every connection is cut */
  readonly cutAfter?: number;
}

export interface FileServer {
  /** e.g. `http://127.0.0.1:40123` */
  readonly url: string;
  readonly requests: IncomingMessage[];
  close(): Promise<void>;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Serves files by their path, or whatever a handler answers, until the running test ends. */
export async function startServer(
  content: Readonly<Record<string, Uint8Array>> | Handler,
  faults: ServerFaults = {},
): Promise<FileServer> {
  const requests: IncomingMessage[] = [];
  const handler = typeof content === 'function' ? content : serveFiles(content, faults);
  const server = createServer((request, response) => {
    requests.push(request);
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  onTestFinished(close);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return { url: `http://127.0.0.1:${address.port}`, requests, close };
}

function serveFiles(
  files: Readonly<Record<string, Uint8Array>>,
  { ranges = true, cutAfter }: ServerFaults,
): Handler {
  return (request, response) => {
    const file = files[request.url ?? ''];
    if (!file) {
      response.writeHead(404).end('not here');
      return;
    }
    const wanted = ranges ? /^bytes=(\d+)-$/.exec(request.headers.range ?? '') : null;
    const start = wanted ? Number(wanted[1]) : 0;
    if (start >= file.length && wanted) {
      response.writeHead(416, { 'content-range': `bytes */${file.length}` }).end();
      return;
    }
    const body = file.subarray(start);
    response.writeHead(wanted ? 206 : 200, {
      'content-length': body.length,
      ...(wanted && { 'content-range': `bytes ${start}-${file.length - 1}/${file.length}` }),
    });
    if (cutAfter === undefined || body.length <= cutAfter) response.end(body);
    // Time for a client on a busy machine to read what was sent: the cut takes the rest from it.
    else response.write(body.subarray(0, cutAfter), () => setTimeout(() => response.destroy(), 100));
  };
}
