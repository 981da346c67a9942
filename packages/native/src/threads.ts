/** Threads that batches can have: those of libuv's pool, four unless UV_THREADPOOL_SIZE said otherwise when Node started. */
export const nativeThreads = (): number => {
  const size = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);
  return Number.isInteger(size) && size > 0 ? Math.min(size, 1024) : 4;
};
