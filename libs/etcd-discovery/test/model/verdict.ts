import { instanceKey } from '../../src/instance/instance-key.js';
import type { ServiceInstance } from '../../src/instance/service-instance.js';
import type { ModelProcess } from './model-process.js';
import { faceOf, NAMESPACE, readKey, SERVICES, truthOf } from './truth.js';
import type { World } from './world.js';

/** P8: ms after which a cache is right again; after a lost connection; and what messages and a coalesced push take. */
const CONVERGED_MS = 2_000;
const CONVERGED_AFTER_LOSS_MS = 3_000;
const ON_THE_WAY_MS = 200;
/** P6 with a TTL of 10 s: always back within T/2; and what messages take. */
const REGISTERED_MS = 5_000 + 700;
/** P9: what the dead have left behind is gone after T + 1 s; then whoever waited for it polls every 4.5 s at most. */
const DEAD_GONE_MS = 11_000 + ON_THE_WAY_MS;
const SUCCEEDED_MS = DEAD_GONE_MS + 4_500 + 500;
/** The reconciling list comes every 5 min ± 20 %, and the next one when its own was lost. */
const RECONCILED_MS = 360_000;
/** The longest that closing takes. */
const CLOSED_MS = 8_000;

/** Ends all faults, and holds what comes of it against the promises, each at its time. */
export const judge = async (world: World): Promise<void> => {
  // Who puts a backup back finishes it.
  await world.clock.advance(world.server.restoringMs);
  const startedAt = world.clock.now();
  const lost = endFaults(world);
  const until = (ms: number) => world.clock.advance(Math.max(0, startedAt + ms - world.clock.now()));

  await until((lost ? CONVERGED_AFTER_LOSS_MS : CONVERGED_MS) + ON_THE_WAY_MS);
  if (!world.lossy) await cachesAreRight(world, 'cache');
  await until(REGISTERED_MS);
  if (!world.lossy) registrationsStand(world, true);
  await until(DEAD_GONE_MS);
  if (!world.lossy) nothingIsLeftOfTheDead(world);
  await until(SUCCEEDED_MS);
  if (world.lossy) await until(RECONCILED_MS + REGISTERED_MS);
  registrationsStand(world, false);
  nothingIsLeftOfTheDead(world);
  await cachesAreRight(world, 'cache later');
  suspectsLive(world);
  oneLeaseEach(world);
  await allLeave(world);
};

/** Everything works from now on; true when a connection had been lost. */
const endFaults = (world: World): boolean => {
  const { server, processes } = world;
  let lost = server.mode !== 'up';
  server.refusal = undefined;
  server.store.lying = false;
  server.compactAfterPage = false;
  for (const process of processes) {
    const { client, link } = process;
    if (process.isGone) continue;
    const slow = link.latency[1] > 1;
    lost ||=
      !client.gate.state.open || link.mode !== 'up' || slow || client.hasDoomed || process.time.mode === 'stopped';
    client.fates.clear();
    link.latency = [1, 1];
    link.heal(0);
  }
  server.thaw();
  server.start();
  for (const process of processes) {
    if (process.isGone) continue;
    process.resume();
    // What was lost would be waited for in vain, and what is still on its slow way would come after everything else.
    if (process.client.hasDoomed) process.client.resetDoomed();
    for (const stream of process.client.streams) stream.heal();
  }
  return lost;
};

const alive = (world: World): ModelProcess[] => world.processes.filter((process) => process.isOpen);

const cachesAreRight = async (world: World, what: string): Promise<void> => {
  // A lease that ends just now is on its way to the caches.
  let revision = -1;
  for (;;) {
    const problems = alive(world).flatMap((process) => problemsOf(world, process));
    if (problems.length === 0) return;
    if (revision === world.server.store.revision) return world.violated(`${what} differs`, problems.join('; '));
    ({ revision } = world.server.store);
    await world.clock.advance(ON_THE_WAY_MS);
  }
};

const problemsOf = (world: World, process: ModelProcess): string[] => {
  const keys = [...world.server.store.range({ key: `${NAMESPACE}/`, rangeEnd: `${NAMESPACE}0` })];
  const compare = (service: string, user: string, shown: readonly ServiceInstance[]): string[] => {
    const truth = truthOf(service, keys);
    const vouched = shown
      .filter(({ suspect }) => !suspect)
      .map(faceOf)
      .sort();
    const same = truth.join() === vouched.join();
    return same ? [] : [`${process.name}, ${user} of ${service}: shows ${vouched.join()}, true is ${truth.join()}`];
  };
  const problems: string[] = [];
  for (const [service, { share }] of process.followers) {
    if (!share.snapshot) problems.push(`${process.name} has no snapshot of ${service}`);
    else problems.push(...compare(service, 'user', share.snapshot.instances));
    if (share.health.state !== 'live') problems.push(`${process.name} says that ${service} is ${share.health.state}`);
  }
  if (process.namespace) {
    const { snapshots } = process.namespace;
    for (const service of SERVICES) {
      problems.push(...compare(service, 'namespace', snapshots.get(service)?.instances ?? []));
    }
  }
  return problems;
};

/** `early`: who waits for the lease of a dead process may still wait. */
const registrationsStand = (world: World, early: boolean): void => {
  const { store } = world.server;
  const contenders = new Map<string, ModelProcess[]>();
  for (const process of alive(world)) {
    for (const key of process.intents.keys()) contenders.set(key, [...(contenders.get(key) ?? []), process]);
  }
  for (const [key, processes] of contenders) {
    const kv = store.get(key);
    const owner = kv && store.leases.get(kv.lease)?.owner;
    const isForeign = kv && (owner === undefined || owner === 'foreign') && world.foreignKeys.has(key);
    if (isForeign && world.setting.givenIds) continue;
    const holder = processes.find(({ name }) => name === owner);
    if (!kv || !holder) {
      const waits = early && owner !== undefined && !alive(world).some(({ name }) => name === owner);
      if (!waits)
        world.violated(
          'registration missing',
          `${key} of ${processes.map(({ name }) => name).join()} ${kv ? `is held by ${owner}` : 'is not there'}`,
        );
      continue;
    }
    const intent = holder.intents.get(key);
    const instance = readKey(kv);
    if (instance?.status !== 'up' || instance.address !== intent?.address || instance.weight !== intent.weight) {
      world.violated('registration wrong', `${key} says ${kv.value.toString()}`);
    }
    for (const process of processes) {
      const state = stateOf(process, key);
      if ((state === 'registered') !== (process === holder)) {
        world.violated('state wrong', `${process.name} says that ${key} is ${state}, it is held by ${holder.name}`);
      }
    }
  }
};

const stateOf = (process: ModelProcess, key: string): string | undefined =>
  process.registrar.states.findLast(({ service, id }) => instanceKey(NAMESPACE, service, id) === key)?.state;

/** Neither keys of processes that are gone, nor keys that their process has taken out. */
const nothingIsLeftOfTheDead = (world: World): void => {
  const { store } = world.server;
  for (const kv of store.range({ key: `${NAMESPACE}/`, rangeEnd: `${NAMESPACE}0` })) {
    const owner = store.leases.get(kv.lease)?.owner;
    if (owner === 'foreign' || (owner === undefined && world.foreignKeys.has(kv.key))) continue;
    const process = alive(world).find(({ name }) => name === owner);
    if (!process) world.violated('left behind', `${kv.key} of ${owner}, which is gone`);
    else if (!process.intents.has(kv.key)) world.violated('came back', `${kv.key}, which ${owner} has taken out`);
  }
};

const suspectsLive = (world: World): void => {
  for (const process of alive(world)) {
    for (const follower of process.followers.values()) {
      for (const { id, address } of follower.suspects()) {
        if (!world.accepts(address)) world.violated('dead suspect kept', `${id} at ${address} in ${process.name}`);
      }
    }
  }
};

const oneLeaseEach = (world: World): void => {
  for (const process of alive(world)) {
    const count = leasesOf(world, process);
    const most = process.hasRegistered ? 1 : 0;
    if (count > most) world.violated('leases', `${process.name} has ${count}`);
  }
};

const leasesOf = (world: World, { name }: ModelProcess): number =>
  [...world.server.store.leases.values()].filter(({ owner }) => owner === name).length;

const allLeave = async (world: World): Promise<void> => {
  const leaving = alive(world);
  for (const process of leaving) process.close();
  await world.clock.advance(CLOSED_MS);
  for (const process of leaving) {
    if (!process.isGone) world.violated('slow close', `${process.name} is still closing after ${CLOSED_MS} ms`);
    const leases = leasesOf(world, process);
    if (leases > 0) world.violated('left open', `${process.name}: ${leases} leases after close`);
  }
  for (const kv of world.server.store.range({ key: `${NAMESPACE}/`, rangeEnd: `${NAMESPACE}0` })) {
    const owner = world.server.store.leases.get(kv.lease)?.owner;
    if (owner !== 'foreign' && !world.foreignKeys.has(kv.key)) {
      world.violated('left behind', `${kv.key} of ${owner} after everybody left`);
    }
  }
};
