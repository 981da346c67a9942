/** The script of a browser's worker: see threads.ts. Its name is its own: a bundler may put it beside an application's. */
import { answerTasks, type ThreadTask } from './threads.js';

/** The global of a dedicated worker: a library is checked with the types of pages. */
interface WorkerGlobal {
  onmessage: ((event: MessageEvent<ThreadTask>) => void) | null;
  postMessage(message: unknown, transfer: Transferable[]): void;
}

const scope = globalThis as unknown as WorkerGlobal;
const answer = answerTasks();
scope.onmessage = async ({ data }) => {
  const { answer: message, transfer } = await answer(data);
  scope.postMessage(message, transfer);
};
