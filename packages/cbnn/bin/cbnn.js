#!/usr/bin/env node
import { existsSync } from 'node:fs';

const main = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(main)) process.exitCode = await (await import(main.href)).main(process.argv.slice(2));
else {
  console.error('cbnn: not built yet; run `npm run setup` in the clone first');
  process.exitCode = 1;
}
