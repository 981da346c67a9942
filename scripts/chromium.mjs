// Serves files on loopback to a headless Chromium, whose page posts its result: for tests and benches.
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { text } from 'node:stream/consumers';

/** With which a page, and its workers, may share memory. */
const ISOLATION = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};
const TYPES = { '.js': 'text/javascript', '.html': 'text/html', '.json': 'application/json' };

export const chromium = [process.env.CBNN_CHROMIUM, '/usr/bin/chromium', '/usr/bin/google-chrome'].find(
  (path) => path !== undefined && existsSync(path),
);

/** A server of what `content(path)` gives, null for 404; what a page posts to /result is that of `visit`. */
export async function servePages(content) {
  const answered = new EventEmitter();
  let headers = {};
  const server = createServer((request, response) => {
    if (request.url === '/result') {
      text(request).then((body) => answered.emit('result', body));
      response.end();
      return;
    }
    const path = request.url ?? '';
    const body = content(path);
    response.writeHead(body === null ? 404 : 200, {
      'content-type': TYPES[extname(path)] ?? 'application/octet-stream',
      ...headers,
    });
    response.end(body ?? '');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = `http://127.0.0.1:${server.address().port}`;
  return {
    address,
    close: () => server.close(),
    /** Opens `path` in a new Chromium, cross-origin isolated or not, and gives what its page posts. One visit at a time. */
    async visit(path, { flags = [], milliseconds = 60_000, isolated = false } = {}) {
      headers = isolated ? ISOLATION : {};
      const profile = mkdtempSync(join(tmpdir(), 'cbnn-chromium-'));
      const own = [
        '--headless',
        '--no-sandbox',
        '--disable-background-networking',
        `--user-data-dir=${profile}`,
      ];
      const browser = spawn(chromium, [...own, ...flags, address + path], {
        stdio: 'ignore',
        // A group of its own, so that all of its processes can be ended.
        detached: true,
      });
      try {
        const [result] = await once(answered, 'result', { signal: AbortSignal.timeout(milliseconds) });
        return result;
      } finally {
        if (browser.exitCode === null && browser.signalCode === null) {
          process.kill(-browser.pid, 'SIGKILL');
          await once(browser, 'exit');
        }
        rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 });
      }
    },
  };
}
