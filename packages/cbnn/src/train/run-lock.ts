/**
 * A run is one process's at a time: a second one, begun by accident, would take the first one's files away and mix its lines with
 * the first one's. What a killed process leaves locked is taken over.
 */
import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, uptime } from 'node:os';
import { join } from 'node:path';
import { configError } from '@cbnn/runtime';

interface Holder {
  readonly pid: number;
  readonly host: string;
}

/** Of this process. */
const held = new Set<string>();
/** Milliseconds between two signs of life: of processes on other machines, or in other containers, nothing else is known. */
const SIGN_OF_LIFE = 20_000;
const GONE_AFTER = 3 * SIGN_OF_LIFE;

/** Locks a run's folder, and returns what unlocks it. Throws a config error while another process, or this one, trains in it. */
export function lockRun(path: string): () => void {
  const file = join(path, 'lock.json');
  mkdirSync(path, { recursive: true });
  // Once more where a lock was left behind; another process may be as quick.
  for (let tries = 0; tries < 3; tries++) {
    try {
      const own: Holder = { pid: process.pid, host: hostname() };
      writeFileSync(file, JSON.stringify(own), { flag: 'wx' });
      held.add(file);
      const alive = setInterval(() => touch(file), SIGN_OF_LIFE).unref();
      return () => {
        clearInterval(alive);
        held.delete(file);
        rmSync(file, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const holder = held.has(file) ? 'this process' : holderOf(file);
      if (holder) throw refusal(path, file, holder);
      rmSync(file, { force: true });
    }
  }
  throw refusal(path, file, 'another process');
}

const refusal = (path: string, file: string, holder: string): Error =>
  configError(
    `run ${path}: ${holder} is training in it; wait for that, or choose another --out (if it is gone, delete ${file})`,
  );

/** Who still holds a lock; null where that process is gone. */
function holderOf(file: string): string | null {
  try {
    const { pid, host } = JSON.parse(readFileSync(file, 'utf8')) as Holder;
    const age = Date.now() - statSync(file).mtimeMs;
    if (host !== hostname()) return age > GONE_AFTER ? null : `process ${pid} on ${host}`;
    const isOfEarlierBoot = age > 1000 * uptime();
    // A container begun again may have given this process the number of the one before.
    return pid === process.pid || isOfEarlierBoot || !isAlive(pid) ? null : `process ${pid}`;
  } catch {
    // Unlocked meanwhile, or cut off as it was written.
    return null;
  }
}

function touch(file: string): void {
  const now = new Date();
  try {
    utimesSync(file, now, now);
  } catch {
    // Deleted by hand: then so it is.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
