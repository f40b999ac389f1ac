import { seededRandom } from '../support/fake-clock.js';
import type { Operation, Schedule, Setting, StreamFault } from './operation.js';

type Draw = (below: number) => number;

const WAITS = [1, 3, 20, 80, 250, 700, 1_500, 3_500, 6_500, 11_000, 17_000] as const;
const STREAM_FAULTS: readonly StreamFault[] = [
  'reset',
  'leader-lost',
  'cancel',
  'auth',
  'permission-denied',
  'compacted',
  'mute',
  'drop',
  'swap',
  'replay',
  'fragment',
  'lag',
];

const one = <T>(draw: Draw, items: readonly T[]): T => items[draw(items.length)] as T;

/** Kinds of trouble; a schedule has a few of them, so that each gets deep rather than all of them shallow. */
const FAMILIES: Record<string, (draw: Draw) => readonly Operation[]> = {
  applications: (draw) => [ordinary(draw)],
  others: (draw) => {
    const [s, i] = [draw(2), draw(4)];
    return [
      one<Operation>(draw, [
        { op: 'foreign-put', s, i, weight: 1 + draw(20), n: draw(3) },
        { op: 'foreign-put', s, i: 4 + i, weight: 1 + draw(20), n: draw(3) },
        { op: 'foreign-delete', s, i },
        { op: 'foreign-drain', s, i: i + draw(4) },
        { op: 'corrupt', n: draw(8) },
        { op: 'plain', s, there: draw(3) > 0 },
      ]),
    ];
  },
  leases: (draw) => [
    one<Operation>(draw, [
      { op: 'delete-key', n: draw(8) },
      { op: 'revoke-lease', n: draw(4) },
      { op: 'expire-all' },
      { op: 'lie' },
      { op: 'tell-truth' },
    ]),
  ],
  etcd: (draw) => {
    const pause = { op: 'wait', ms: one(draw, WAITS) } as const;
    return one<readonly Operation[]>(draw, [
      [{ op: 'freeze' }, pause, { op: 'thaw' }],
      [{ op: 'kill' }, pause, { op: 'restart' }],
      [one<Operation>(draw, [{ op: 'freeze' }, { op: 'kill' }, { op: 'thaw' }, { op: 'restart' }])],
    ]);
  },
  data: (draw) => {
    // Longer than a beat of the lease: nobody stops an etcd, puts a backup back and starts it in less.
    const downMs = 3_700 + draw(3_000);
    return [
      one<Operation>(draw, [
        { op: 'backup' },
        { op: 'restore', downMs },
        { op: 'restore-alike', s: draw(2), i: 4 + draw(4), downMs },
        { op: 'wipe', downMs },
        { op: 'compact' },
        { op: 'compact-while-listing' },
      ]),
    ];
  },
  refusals: (draw) => [
    one<Operation>(draw, [
      { op: 'refuse', what: one(draw, ['no-space', 'permission-denied', 'auth', 'refused'] as const) },
      { op: 'allow' },
    ]),
  ],
  network: (draw) => {
    const p = draw(3);
    return [
      one<Operation>(draw, [
        { op: 'cut', p, how: 'refused' },
        { op: 'cut', p, how: 'silent' },
        { op: 'heal', p },
        { op: 'slow', p, ms: one(draw, [30, 300, 1_200]) },
        { op: 'shut-gate', p },
      ]),
    ];
  },
  streams: (draw) => [{ op: 'stream', p: draw(3), what: one(draw, STREAM_FAULTS), n: draw(8) }],
  requests: (draw) => [
    {
      op: 'fate',
      p: draw(3),
      kind: one(draw, ['range', 'txn', 'txn', 'grant', 'keepAlive', 'revoke'] as const),
      what: one(draw, ['answer-lost', 'lost', 'late', 'reset'] as const),
    },
  ],
  processes: (draw) => {
    const p = draw(3);
    return [
      one<Operation>(draw, [
        { op: 'crash', p },
        { op: 'start', p },
        { op: 'close', p },
        { op: 'stop', p },
        { op: 'continue', p },
      ]),
    ];
  },
};

const ordinary = (draw: Draw): Operation => {
  const [p, s, i] = [draw(3), draw(2), draw(4)];
  return one<Operation>(draw, [
    { op: 'register', p, s, i, host: draw(5) === 0 ? draw(3) : p },
    { op: 'register', p, s: 0, i, host: p },
    { op: 'deregister', p, s, i },
    { op: 'update', p, s, i, weight: 1 + draw(20) },
    { op: 'subscribe', p, s },
    { op: 'unsubscribe', p, s },
    { op: 'namespace', p },
    { op: 'end-namespace', p },
  ]);
};

/** A schedule like any other; the same one for the same seed. */
export const generate = (seed: number): Schedule => {
  const random = seededRandom(seed);
  const draw: Draw = (below) => Math.floor(random() * below);
  const processes = 1 + draw(3);
  const setting: Setting = {
    seed,
    processes,
    pageSize: one(draw, [1, 2, 3, 1_000]),
    givenIds: draw(2) === 0,
    channels: draw(2) === 0,
    term: one(draw, [2, 30]),
  };
  const operations: Operation[] = [];
  for (let p = 0; p < processes; p++) {
    for (let count = draw(3); count >= 0; count--) operations.push({ op: 'register', p, s: 0, i: draw(4), host: p });
    operations.push(draw(3) === 0 ? { op: 'namespace', p } : { op: 'subscribe', p, s: 0 });
    if (draw(2) === 0) operations.push({ op: 'foreign-put', s: 0, i: 4 + p, weight: 10, n: 0 });
  }
  operations.push({ op: 'wait', ms: one(draw, [0, 1, 5, 100, 5_000]) });
  const families = Object.values(FAMILIES);
  const chosen = [families[0] as (typeof families)[0], one(draw, families), one(draw, families), one(draw, families)];
  for (let count = 4 + draw(16); count > 0; count--) {
    operations.push(...one(draw, chosen)(draw));
    if (draw(3) > 0) operations.push({ op: 'wait', ms: Math.ceil(one(draw, WAITS) * (0.5 + random())) });
  }
  return { setting, operations };
};
