import { seededRandom } from '../support/fake-clock.js';
import type { EtcdOperation, LinkFault, RealOperation, RealSchedule } from './operation.js';

type Draw = (below: number) => number;

const one = <T>(draw: Draw, items: readonly T[]): T => items[draw(items.length)] as T;

const drawer = (seed: number): Draw => {
  const random = seededRandom(seed);
  return (below) => Math.floor(random() * below);
};

const LINK_FAULTS: readonly LinkFault[] = [
  'freeze',
  'forget-open',
  'stop-reading',
  'cut',
  'refuse',
  'reset',
  'delay',
  'slow-read',
  'loss',
  'swallow',
  'garbage',
];

const WAITS = [2, 20, 80, 200, 500, 900, 1_600] as const;

const application = (draw: Draw): RealOperation => {
  const [p, s, i] = [draw(2), draw(2), draw(3)];
  return one<RealOperation>(draw, [
    { op: 'register', p, s, i },
    { op: 'register', p, s: 0, i },
    { op: 'deregister', p, s, i },
    { op: 'update', p, s, i, weight: 1 + draw(20) },
    { op: 'subscribe', p, s },
    { op: 'unsubscribe', p, s },
    { op: 'namespace', p },
    { op: 'end-namespace', p },
  ]);
};

const put = (draw: Draw): RealOperation => ({
  op: 'put',
  s: draw(2),
  i: draw(5),
  weight: 1 + draw(20),
  lease: one(draw, ['long', 'long', 'short', 'none']),
  listens: draw(2) === 0,
});

/** Kinds of trouble; a schedule has a few of them, so that each gets deep rather than all of them shallow. */
const FAMILIES: readonly ((draw: Draw) => RealOperation)[] = [
  (draw) =>
    one<RealOperation>(draw, [
      put(draw),
      put(draw),
      { op: 'burst', s: draw(2), count: 5 + draw(100), weight: 1 + draw(20) },
      { op: 'drain', s: draw(2), i: draw(5) },
      { op: 'corrupt', n: draw(12) },
      { op: 'plain', s: draw(2), there: draw(3) > 0 },
    ]),
  (draw) =>
    one<RealOperation>(draw, [
      { op: 'delete', n: draw(12) },
      { op: 'revoke', n: draw(4) },
    ]),
  (draw) =>
    one<RealOperation>(draw, [
      { op: 'crash', p: draw(2) },
      { op: 'start', p: draw(2) },
    ]),
];

const link = (draw: Draw): RealOperation =>
  draw(3) === 0 ? { op: 'mend', p: draw(2) } : { op: 'link', p: draw(2), what: one(draw, LINK_FAULTS), n: draw(4) };

/** A schedule like any other; the same one for the same seed. About four seconds long. */
export const generate = (seed: number): RealSchedule => {
  const draw = drawer(seed);
  const processes = 1 + draw(2);
  const setting = {
    seed,
    processes,
    ways: draw(3) === 0 ? 2 : 1,
    givenIds: draw(2) === 0,
    closesDuring: draw(5) === 0 ? one(draw, LINK_FAULTS) : undefined,
  };
  const operations: RealOperation[] = [];
  for (let p = 0; p < processes; p++) {
    for (let count = draw(3); count >= 0; count--) operations.push({ op: 'register', p, s: draw(2), i: draw(3) });
    operations.push(draw(3) === 0 ? { op: 'namespace', p } : { op: 'subscribe', p, s: 0 });
    operations.push(put(draw));
  }
  operations.push({ op: 'wait', ms: one(draw, [0, 50, 600]) });
  const families = [application, one(draw, FAMILIES), one(draw, FAMILIES), ...(draw(4) > 0 ? [link] : [])];
  for (let left = 3_500; left > 0;) {
    operations.push(one(draw, families)(draw));
    if (draw(3) === 0) continue;
    const ms = Math.ceil(one(draw, WAITS) * (0.5 + draw(100) / 100));
    operations.push({ op: 'wait', ms });
    left -= ms;
  }
  return { setting, operations };
};

/** The life of the etcd of a batch; the same one for the same seed. At most about nine seconds of it. */
export const generateEtcd = (seed: number): readonly EtcdOperation[] => {
  // Not the choices of the schedule of that seed.
  const draw = drawer(seed ^ 0x5eed);
  // In the midst of the schedules, or towards their end: then what comes of it is timed.
  const operations: EtcdOperation[] = [{ op: 'wait', ms: draw(2) === 0 ? 300 + draw(1_500) : 2_500 + draw(1_500) }];
  const downMs = draw(2_500);
  operations.push(
    ...one<readonly EtcdOperation[]>(draw, [
      [{ op: 'pause', ms: 200 + draw(1_500) }],
      [{ op: 'pause', ms: 2_600 + draw(1_500) }],
      [{ op: 'kill', downMs }],
      [{ op: 'kill', downMs: 0 }],
      [{ op: 'wipe', downMs }],
      [{ op: 'backup' }, { op: 'wait', ms: 200 + draw(1_200) }, { op: 'restore', downMs }],
      [{ op: 'compact' }, { op: 'wait', ms: draw(500) }, { op: 'kill', downMs }],
      // Nothing that breaks a connection.
      [{ op: 'compact' }, { op: 'wait', ms: draw(1_000) }, { op: 'defrag' }],
    ]),
  );
  for (let more = draw(3); more > 0; more--) {
    operations.push({ op: 'wait', ms: draw(900) });
    operations.push(one<EtcdOperation>(draw, [{ op: 'compact' }, { op: 'defrag' }, { op: 'pause', ms: draw(600) }]));
  }
  return operations;
};
