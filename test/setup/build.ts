import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';

/** Builds everything once, because what crosses processes is tested as `node dist/…`. */
export default function setup(): void {
  if (process.env.SKIP_BUILD) return;
  const nest = createRequire(import.meta.url).resolve('@nestjs/cli/bin/nest.js');
  execFileSync(process.execPath, [nest, 'build', 'workspace'], { stdio: 'inherit' });
}
