import { instanceKey, plainKey } from '../../src/instance/instance-key.js';
import { stored } from '../support/catalog-world.js';
import type { ModelProcess } from './model-process.js';
import type { Operation, StreamFault } from './operation.js';
import { NAMESPACE, SERVICES } from './truth.js';
import type { World } from './world.js';

const CORRUPT = ['', '{', '[1]', 'null', '{"Addr":7}', '\u0000\u0001', '{"address":"10.0.0.7:99999"}'];

const serviceOf = (s: number) => SERVICES[s % SERVICES.length] as string;

/** The id of instance `i`: the same wherever it is chosen by the user, one of its own for each start otherwise. */
const idOf = (world: World, { index, incarnation }: ModelProcess, i: number) =>
  world.setting.givenIds ? `i${i}` : `i${i}-${index}-${incarnation}`;

const pick = <T>(items: readonly T[], n: number): T | undefined => items[n % Math.max(1, items.length)];

const STREAM: Record<StreamFault, (world: World, process: ModelProcess, n: number) => void> = {
  reset: (_world, process) => process.client.connectionLost('read ECONNRESET'),
  'leader-lost': (_world, { client }) => client.streams.forEach((stream) => stream.break('etcdserver: no leader')),
  cancel: (_world, { client }, n) => client.streams.forEach((stream) => stream.cancelWatch(n, {})),
  auth: (_world, { client }, n) =>
    client.streams.forEach((stream) => stream.cancelWatch(n, { cancelReason: 'etcdserver: invalid auth token' })),
  'permission-denied': (_world, { client }, n) =>
    client.streams.forEach((stream) => stream.cancelWatch(n, { cancelReason: 'etcdserver: permission denied' })),
  compacted: (world, { client }, n) =>
    client.streams.forEach((stream) => stream.cancelWatch(n, { compactRevision: world.server.store.revision })),
  mute: (world, { client }) => {
    world.lossy = true;
    client.streams.forEach((stream) => (stream.mute = true));
  },
  drop: (world, { client }, n) => {
    world.lossy = true;
    client.streams.forEach((stream) => (stream.dropping = 1 + (n % 3)));
  },
  swap: (world, { client }) => {
    world.lossy = true;
    client.streams.forEach((stream) => (stream.swapping = true));
  },
  replay: (world, { client }, n) =>
    client.streams.forEach((stream) => stream.replay(Math.max(1, world.server.store.revision - n))),
  fragment: (_world, { client }) => client.streams.forEach((stream) => (stream.fragmenting = true)),
  lag: (_world, { client }, n) => client.streams.forEach((stream) => (stream.lagMs = 100 * n)),
};

type Step<Name extends Operation['op']> = Extract<Operation, { op: Name }>;
type Actor = { readonly p: number; readonly s: number; readonly i: number };

/** The process, the service and the id that a step of an application is about. */
const actor = (world: World, { p, s, i }: Actor) => {
  const process = world.process(p);
  return { process, service: serviceOf(s), id: idOf(world, process, i) };
};

const newestKey = ({ server: { store } }: World, n: number) => pick([...store.at(store.revision).keys()], n);

/** What each step does; those that take time return it, ms. */
const STEPS: { readonly [Name in Operation['op']]: (world: World, step: Step<Name>) => number | void } = {
  wait: (_world, { ms }) => ms,

  register: (world, step) => {
    const { process, service, id } = actor(world, step);
    process.register(service, id, step.host);
  },
  deregister: (world, step) => {
    const { process, service, id } = actor(world, step);
    process.deregister(service, id);
  },
  update: (world, step) => {
    const { process, service, id } = actor(world, step);
    process.update(service, id, step.weight);
  },
  subscribe: (world, { p, s }) => world.process(p).subscribe(serviceOf(s)),
  unsubscribe: (world, { p, s }) => world.process(p).unsubscribe(serviceOf(s)),
  namespace: (world, { p }) => world.process(p).watchNamespace(),
  'end-namespace': (world, { p }) => world.process(p).endNamespace(),
  close: (world, { p }) => world.process(p).close(),
  crash: (world, { p }) => world.process(p).crash(),
  start: (world, { p }) => world.restartProcess(p),
  stop: (world, { p }) => world.process(p).pause(),
  continue: (world, { p }) => world.process(p).resume(),

  'foreign-put': (world, { s, i, weight, n }) => foreignPut(world, serviceOf(s), i, weight, n),
  'foreign-delete': (world, { s, i }) => foreignWrite(world, instanceKey(NAMESPACE, serviceOf(s), `i${i}`), undefined),
  'foreign-drain': (world, { s, i }) => {
    const value = stored(serviceOf(s), `i${i}`, { status: 'draining' });
    foreignWrite(world, instanceKey(NAMESPACE, serviceOf(s), `i${i}`), value);
  },
  corrupt: (world, { n }) => {
    const key = newestKey(world, n);
    if (key === undefined || world.server.mode !== 'up') return;
    world.corrupted.add(key);
    foreignWrite(world, key, pick(CORRUPT, n));
  },
  plain: (world, { s, there }) =>
    foreignWrite(world, plainKey(NAMESPACE, serviceOf(s)), there ? '10.9.9.9:8080' : undefined),
  'delete-key': (world, { n }) => {
    const key = newestKey(world, n);
    if (key !== undefined) world.server.operate((store) => void store.apply([{ type: 'delete', key }]));
  },
  'revoke-lease': ({ server }, { n }) => {
    const own = [...server.store.leases.values()].filter(({ owner }) => owner !== 'foreign');
    const lease = pick(own, n);
    if (lease) server.operate((store) => void store.revoke(lease.id));
  },
  'expire-all': ({ server }) => server.expireAll(),

  freeze: ({ server }) => server.freeze(),
  thaw: ({ server }) => server.thaw(),
  kill: ({ server }) => server.kill(),
  restart: ({ server }) => server.start(),
  backup: (world) => {
    if (world.server.mode === 'up') world.backup = world.server.store.backup();
  },
  restore: ({ server, backup }, { downMs }) => {
    if (backup) server.restore(backup, downMs);
  },
  'restore-alike': (world, { s, i, downMs }) => restoreAlike(world, serviceOf(s), i, downMs),
  wipe: ({ server }, { downMs }) => server.wipe(downMs),
  compact: ({ server }) => server.compact(),
  'compact-while-listing': ({ server }) => void (server.compactAfterPage = true),
  refuse: ({ server }, { what }) => void (server.refusal = what),
  allow: ({ server }) => void (server.refusal = undefined),
  lie: ({ server }) => void (server.store.lying = true),
  'tell-truth': ({ server }) => void (server.store.lying = false),

  cut: (world, { p, how }) => (how === 'refused' ? world.process(p).link.refuse() : world.process(p).link.silence()),
  heal: (world, { p }) => world.process(p).link.heal(),
  slow: (world, { p, ms }) => void (world.process(p).link.latency = [1, ms]),
  stream: (world, { p, what, n }) => {
    const process = world.process(p);
    if (process.time.mode !== 'dead') STREAM[what](world, process, n);
  },
  fate: (world, { p, kind, what }) => {
    const { fates } = world.process(p).client;
    fates.set(kind, [...(fates.get(kind) ?? []), what]);
  },
  'shut-gate': (world, { p }) => {
    if (!world.process(p).isGone) world.process(p).client.trip();
  },
};

/** Does one step; one that makes no sense where the world stands does nothing. Returns how long it takes, ms. */
export const perform = (world: World, operation: Operation): number => {
  const step = STEPS[operation.op] as (world: World, step: Operation) => number | void;
  return step(world, operation) ?? 0;
};

/** Somebody else writes or deletes a key, without asking whose it is. */
const foreignWrite = (world: World, key: string, value: string | undefined): void =>
  world.server.operate((store) => {
    world.foreignKeys.add(key);
    const lease = store.leases.has(world.foreignLease) ? world.foreignLease : '0';
    store.apply([value === undefined ? { type: 'delete', key } : { type: 'put', key, value, lease }]);
  });

/** `n`: at the address of which host; with an odd one nobody listens there. */
const foreignPut = (world: World, service: string, i: number, weight: number, n: number): void => {
  const port = 9_000 + i;
  if (n % 2 === 0) world.listens(`10.0.0.7:${port}`, true);
  foreignWrite(world, instanceKey(NAMESPACE, service, `i${i}`), stored(service, `i${i}`, { port, weight }));
};

/**
 * A backup is taken, a key is written and seen; the backup is put back and the key is written again with another value:
 * in the same revision, under the same lease, so that a list of keys looks as it did before.
 */
const restoreAlike = (world: World, service: string, i: number, downMs: number): number => {
  const { server } = world;
  if (server.mode !== 'up') return 0;
  const backup = server.store.backup();
  const before = server.store.revision;
  foreignPut(world, service, i, 11, 0);
  world.clock.after(500, () => {
    if (server.mode !== 'up') return;
    const writes = server.store.revision - before;
    server.restore(backup, downMs);
    // Before anybody can look, as many revisions as there had been.
    server.onStart = () => {
      for (let n = 0; n < writes; n++) foreignPut(world, service, i, 12 + n, 0);
    };
  });
  return 500;
};
