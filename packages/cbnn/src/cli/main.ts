/** The command line: every command in one list, each a few lines over the library. */
import { Command, CommanderError } from 'commander';
import { VERSION } from '../version.js';
import { addBenchCommand } from './bench-command.js';
import { addCompareCommand } from './compare-command.js';
import { printError, stopBars } from './console.js';
import { addDataCommands } from './data-commands.js';
import { addDemoCommand } from './demo.js';
import { addEvaluationCommands } from './evaluation-commands.js';
import { addRunCommands } from './run-commands.js';
import { addTrainCommand } from './train-command.js';

/** As programs end that a signal tells of it: 128 + SIGPIPE. */
const NOBODY_READS = 141;

/** Runs the program with `args` (without node and script); returns the exit code. Ends it where nobody reads on (`| head`). */
export async function main(args: readonly string[]): Promise<number> {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit(NOBODY_READS);
    });
  const program = new Command('cbnn')
    .description('From labelled images to a compact binary neural network')
    .version(VERSION)
    // `bench train` has options of its own with names that `bench` has too.
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .showHelpAfterError('(add --help for the options)')
    .exitOverride();
  addDemoCommand(program);
  addDataCommands(program);
  addTrainCommand(program);
  addEvaluationCommands(program);
  addRunCommands(program);
  addBenchCommand(program);
  addCompareCommand(program);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    stopBars();
    // Commander has already printed its own complaint, or the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode;
    printError(error);
    return 1;
  }
}
