/** What the command line shows: bars on a terminal, JSON lines when piped, errors in one line. */
import { CbnnError } from '@cbnn/runtime';
import cliProgress from 'cli-progress';
import { formatDuration } from '../report/format.js';
import type { TrainingProgress } from '../train/train.js';

const interactive = (): boolean => process.stdout.isTTY === true;

/** A line for people: to the terminal, or to standard error when standard output is piped. */
export function note(text: string): void {
  (interactive() ? process.stdout : process.stderr).write(`${text}\n`);
}

/** A finished result: text on a terminal, one JSON line when piped. */
export function result(text: string, value: object): void {
  process.stdout.write(interactive() ? `${text}\n` : `${JSON.stringify(value)}\n`);
}

/** A bar keeps a timer and hides the cursor: whatever ends a command must stop those that are left. */
const running = new Set<cliProgress.SingleBar>();

export function stopBars(): void {
  for (const bar of running) bar.stop();
  running.clear();
}

export interface Bar {
  update(done: number, total: number, text?: string): void;
  stop(): void;
}

/** A bar for a long task; when piped, at most one JSON line a second instead. */
export function progressBar(task: string): Bar {
  if (!interactive()) {
    let last = 0;
    return {
      update(done, total, text) {
        if (Date.now() - last < 1000 && done < total) return;
        last = Date.now();
        process.stdout.write(`${JSON.stringify({ task, done, total, ...(text && { text }) })}\n`);
      },
      stop() {},
    };
  }
  const bar = new cliProgress.SingleBar(
    { format: '{task} {bar} {value}/{total} {text}', clearOnComplete: false, hideCursor: true },
    cliProgress.Presets.shades_classic,
  );
  let started = false;
  return {
    update(done, total, text = '') {
      if (!started) bar.start(total, done, { task: task.padEnd(12), text });
      started = true;
      running.add(bar);
      bar.setTotal(total);
      bar.update(done, { text });
    },
    stop() {
      if (started) bar.stop();
      running.delete(bar);
    },
  };
}

/** Shows training: a bar with loss, accuracy, speed and time left; an `epoch` line when piped. */
export function trainingBar(task: string): { show(progress: TrainingProgress): void; stop(): void } {
  const bar = interactive() ? progressBar(task) : null;
  let shownEpoch = 0;
  return {
    show(p) {
      const validation = p.last ? ` validation acc ${(100 - p.last.validationError).toFixed(1)} %` : '';
      bar?.update(
        (p.epoch - 1) * p.steps + p.step,
        p.epochs * p.steps,
        `epoch ${p.epoch}/${p.epochs} loss ${p.loss.toFixed(3)} acc ${(100 - p.trainError).toFixed(1)} %${validation} ${Math.round(p.imagesPerSecond)} img/s ${formatDuration(p.secondsLeft)} left`,
      );
      if (!bar && p.last && p.last.epoch !== shownEpoch) {
        shownEpoch = p.last.epoch;
        process.stdout.write(`${JSON.stringify({ task, epochs: p.epochs, ...p.last })}\n`);
      }
    },
    stop: () => bar?.stop(),
  };
}

/** One line for an error the user can act on; the stack only for our own faults. */
export function printError(error: unknown): void {
  if (error instanceof CbnnError && error.kind !== 'internal')
    process.stderr.write(`cbnn: ${error.message}\n`);
  else if (error instanceof Error && error.name === 'AbortError')
    process.stderr.write(
      'cbnn: stopped; what was measured is kept: run it again (train: with --resume) to continue\n',
    );
  else process.stderr.write(`cbnn: ${error instanceof Error ? error.stack : String(error)}\n`);
}
