import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: {
    // Tests run on the sources; only the command-line tests use the built program.
    alias: {
      '@cbnn/runtime': fileURLToPath(new URL('packages/runtime/src/node/index.ts', import.meta.url)),
      '@cbnn/native': fileURLToPath(new URL('packages/native/src/index.ts', import.meta.url)),
    },
  },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
