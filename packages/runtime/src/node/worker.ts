/** The script of a worker thread of Node: see threads.ts. */
import { parentPort } from 'node:worker_threads';
import { answerTasks, type ThreadTask } from '../threads.js';

const answer = answerTasks();
parentPort?.on('message', async (task: ThreadTask) => {
  const { answer: message, transfer } = await answer(task);
  parentPort?.postMessage(message, transfer);
});
