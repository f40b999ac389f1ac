import { setTimeout as delay } from 'node:timers/promises';
import { TestProcess } from '../../test/support/child-process.js';
import { KeyJournal } from '../support/key-journal.js';

const APPLICATION = 'dist/test/fixtures/lifecycle-app.js';
/** Processes of each service: while one of them is gone, the rest of the service stands. */
const PROCESSES = 3;
/** Between two losses of the same process, ms, at least; sooner than after 1 s the library takes it for a relapse. */
const SPACING_MS = 1_500;
/** A key that is not back by then never comes; three times the promise of T/2. */
const GIVE_UP_MS = 15_000;

export const KINDS = ['lease revoked', 'key deleted'] as const;
export type LossKind = (typeof KINDS)[number];

export interface Losses {
  readonly kind: LossKind;
  /** `spaced`: each process has been well for a while; `back to back`: it loses again as soon as it is back. */
  readonly rhythm: 'spaced' | 'back to back';
  /** From the request that takes the key away until it stands again, ms. */
  readonly backAfterMs: readonly number[];
}

/** Takes leases (or keys) from real application processes, and measures how long their keys are gone. */
export async function measureLosses(
  endpoint: string,
  kind: LossKind,
  { count, ttl }: { count: number; ttl: string },
): Promise<Losses[]> {
  const namespace = `/bench-${kind.replace(' ', '-')}`;
  const env = { APP_ETCD: endpoint, APP_NAMESPACE: namespace, APP_TTL: ttl };
  const processes = Array.from({ length: PROCESSES }, () => TestProcess.node(APPLICATION, ['micro'], env));
  const journal = await KeyJournal.open(endpoint, `${namespace}/`);
  try {
    for (const process of processes) await process.message('listening', 60_000);
    await journal.until('every process is registered', () => journal.standing.size === PROCESSES, 10_000);
    const keys = [...journal.standing.keys()];
    const lose = (key: string) => loseAndWait(journal, key, kind);

    const spaced: number[] = [];
    await delay(SPACING_MS);
    for (let i = 0; i < count; i++) {
      const next = delay(SPACING_MS / PROCESSES);
      spaced.push(await lose(keys[i % PROCESSES]!));
      await next;
    }
    const shares = keys.map((_, i) => Math.ceil((count - i) / PROCESSES));
    const backToBack = await Promise.all(keys.map((key, i) => repeat(shares[i]!, () => lose(key))));
    return [
      { kind, rhythm: 'spaced', backAfterMs: spaced },
      { kind, rhythm: 'back to back', backAfterMs: backToBack.flat() },
    ];
  } finally {
    await journal.close();
    for (const process of processes) await process.dispose();
  }
}

const loseAndWait = async (journal: KeyJournal, key: string, kind: LossKind): Promise<number> => {
  const before = journal.standing.get(key);
  if (!before) throw new Error(`${key} does not stand`);
  const startedAt = performance.now();
  if (kind === 'lease revoked') await journal.revoke(before.lease);
  else await journal.delete(key);
  const isBack = () => (journal.standing.get(key)?.createdAt ?? 0) > before.createdAt;
  await journal.until(`${key} is back after its ${kind}`, isBack, GIVE_UP_MS);
  return performance.now() - startedAt;
};

const repeat = async (times: number, action: () => Promise<number>): Promise<number[]> => {
  const results: number[] = [];
  while (results.length < times) results.push(await action());
  return results;
};
