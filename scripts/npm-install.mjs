import { execFileSync } from 'node:child_process';

/** Installs packages from npm, and tarballs beside it, into `folder`; none of their scripts run. */
export const npmInstall = (folder, ...what) =>
  execFileSync(
    'npm',
    [
      ...['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
      ...what,
    ],
    { cwd: folder, stdio: 'inherit' },
  );
