// Kills a training run with SIGKILL at random moments, resumes it each time, and compares its final checkpoint with an
// unbroken run's. `node scripts/kill-and-resume.mjs [kills = 20] [data = signs]`, after `npm run setup`; data sets other than
// the generated one are looked for where CBNN_DATA says. Takes a few minutes.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const kills = Number(process.argv[2] ?? 20);
const data = process.argv[3] ?? 'signs';
const folder = mkdtempSync(join(tmpdir(), 'cbnn-kills-'));
const program = new URL('../packages/cbnn/bin/cbnn.js', import.meta.url).pathname;
const classes = data === 'signs' ? 12 : data === 'gtsrb' ? 43 : 10;
const options = `--arch 8C3-MP2-16C3-MP2-32FC-${classes}FC --epochs 30 --limit 1000 --stretch off --threads 2 --resume --checkpoint-seconds 0`;

/** Runs until the end, or until `wait` ms after its first step's checkpoint could exist; resolves to the exit code. */
function train(out, wait) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, 'train', data, ...options.split(' '), '--out', out], {
      stdio: 'ignore',
    });
    const timer = wait === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), wait);
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve(code);
    });
  });
}

const begun = Date.now();
if ((await train(join(folder, 'whole'))) !== 0) throw new Error('the unbroken run failed');
const whole = Date.now() - begun;
let killed = 0;
let early = 0;
let writes = 0;
while (killed < kills) {
  // With a checkpoint after every step much of a run's time is writing, so many kills hit a write; the others hit
  // start-up, steps and evaluation.
  const wait = 300 + Math.random() * whole * 0.7;
  const code = await train(join(folder, 'broken'), wait);
  if (code === 0) {
    // It finished before the kill: begin another, so that every kill hits a run in progress.
    compare();
    rmSync(join(folder, 'broken'), { recursive: true });
    early++;
    continue;
  }
  killed++;
  const halfWritten = existsSync(join(folder, 'broken'))
    ? readdirSync(join(folder, 'broken')).filter((name) => name.endsWith('.tmp')).length
    : 0;
  writes += halfWritten > 0 ? 1 : 0;
  console.log(
    `kill ${killed} of ${kills} after ${(wait / 1000).toFixed(2)} s${halfWritten > 0 ? ', in the middle of a write' : ''}`,
  );
}
await train(join(folder, 'broken'));
compare();
console.log(
  `${data}: equal after ${killed} kills, ${writes} of them in the middle of a write (${early} runs finished in between)`,
);
rmSync(folder, { recursive: true });

function compare() {
  for (const name of ['checkpoint.safetensors', 'model.safetensors']) {
    const [a, b] = ['whole', 'broken'].map((run) => join(folder, run, name));
    if (!existsSync(b) || !readFileSync(a).equals(readFileSync(b)))
      throw new Error(`${name} differs: ${a} ${b}`);
  }
}
