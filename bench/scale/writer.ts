/** Changes what lies under SCALE_NAMESPACE of SCALE_ETCD at an even pace, as deployments would. */
import { answerQuestions } from '../support/questions.js';
import { RawEtcd } from './raw-etcd.js';
import { keyOf, SERVICES, valueOf } from './records.js';

const { SCALE_ETCD = '', SCALE_NAMESPACE = '' } = process.env;
const etcd = new RawEtcd(SCALE_ETCD);
const TICK_MS = 20;
/** Keys that are away at any moment: few, so that what vanishes counts as gone and not as the fault of etcd. */
const AWAY = SERVICES / 10;

interface Order {
  readonly instances: number;
  readonly perSecond: number;
  readonly seconds: number;
}

const run = async ({ instances, perSecond, seconds }: Order) => {
  const total = perSecond * seconds;
  const perService = Math.floor(instances / SERVICES);
  const away = new Set<number>();
  let slowestMs = 0;

  const write = async (n: number, index: number, deletes: boolean): Promise<void> => {
    const begun = performance.now();
    const key = keyOf(SCALE_NAMESPACE, index);
    await (deletes ? etcd.delete(key) : etcd.put(key, valueOf(index, { weight: 1 + (n % 100) })));
    slowestMs = Math.max(slowestMs, performance.now() - begun);
  };

  /** One write: a new weight, a deletion, or the return of what was deleted. */
  const change = (n: number): Promise<void> => {
    const [longestAway] = away;
    if (longestAway !== undefined && away.size > AWAY) {
      away.delete(longestAway);
      return write(n, longestAway, false);
    }
    // Every other change hits service 0, so that its pushes have to be held together.
    const index = (n % 2 === 0 ? 0 : n % SERVICES) + SERVICES * ((Math.imul(n, 0x9e3779b1) >>> 0) % perService);
    const deletes = (n % 10 === 3 || n % 10 === 4) && !away.has(index);
    if (deletes) away.add(index);
    else away.delete(index);
    return write(n, index, deletes);
  };

  const begun = performance.now();
  const pending = new Set<Promise<void>>();
  let next = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const due = Math.min(total, Math.floor(((performance.now() - begun) / 1_000) * perSecond));
      for (; next < due; next++) {
        const one = change(next).finally(() => pending.delete(one));
        pending.add(one);
      }
      if (next < total) return;
      clearInterval(timer);
      resolve();
    }, TICK_MS);
  });
  await Promise.all(pending);
  return { written: total, seconds: (performance.now() - begun) / 1_000, slowestMs, lastAt: Date.now() };
};

answerQuestions({ write: run });
