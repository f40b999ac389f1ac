import { setTimeout as delay } from 'node:timers/promises';
import type { EtcdKeyValue } from '../../src/etcd/etcd-client.js';
import { instanceKey } from '../../src/instance/instance-key.js';
import type { ServiceInstance } from '../../src/instance/service-instance.js';
import { faceOf } from '../model/truth.js';
import { type RealProcess, TTL_MS } from './real-process.js';
import { type RealWorld, SERVICES } from './real-world.js';
import type { Stalls } from './stalls.js';

/** P8: ms after which a cache is right again; and after a lost connection. */
const CONVERGED_MS = 2_000;
const CONVERGED_AFTER_LOSS_MS = 3_000;
/** P6: T/2 of the default TTL. */
const REGISTERED_MS = 5_000;
/** P9: what the dead have left behind is gone after T + 1 s. */
const DEAD_GONE_MS = TTL_MS + 1_000;
/** P7: after their connection fails, which nobody notices before the cache is right. */
const SUSPECTS_GONE_MS = CONVERGED_AFTER_LOSS_MS + 2_000;
/** What etcd's events and a coalesced push take: younger truth is on its way to the caches. */
const ON_THE_WAY_MS = 500;
const POLL_MS = 100;
/** Whoever is late is watched for so long, to see how late. */
const GIVEN_UP_MS = 12_000;
const SOCKETS_CLOSED_MS = 2_000;

/** ms after the end of all faults until something held; the last time that it began to. */
export interface Recovery {
  readonly cacheMs: number;
  readonly registrationsMs: number;
  readonly connectionLost: boolean;
}

interface Aspect {
  readonly what: string;
  readonly boundMs: number;
  readonly problems: (kvs: readonly EtcdKeyValue[]) => string[];
}

/** Holds what comes of the end of all faults, which is now, against the promises, each at its time. */
export const judge = async (world: RealWorld, stalls: Stalls): Promise<Recovery> => {
  const startedAt = performance.now();
  const stalledBefore = stalls.ms;
  const connectionLost = world.etcd.broke || world.processes.some(({ way }) => way.broke);
  const caches = 'cache differs';
  const aspects: readonly Aspect[] = [
    {
      what: caches,
      boundMs: connectionLost ? CONVERGED_AFTER_LOSS_MS : CONVERGED_MS,
      problems: (kvs) => alive(world).flatMap((process) => cacheProblems(world, process, kvs)),
    },
    {
      what: 'registration missing',
      boundMs: REGISTERED_MS,
      problems: (kvs) => alive(world).flatMap((process) => registrationProblems(world, process, kvs)),
    },
    { what: 'left behind', boundMs: DEAD_GONE_MS, problems: (kvs) => leftBehind(world, kvs) },
    { what: 'dead suspect kept', boundMs: SUSPECTS_GONE_MS, problems: () => deadSuspects(world) },
  ];
  const heldAt = new Map<string, number>();
  const late = new Set<string>();
  let revision = -1;
  let movedAt = startedAt;
  for (;;) {
    const { kvs } = await world.etcd.gateway.read(world.namespace);
    const now = performance.now();
    const newest = Math.max(0, ...kvs.map(({ modRevision }) => modRevision)) * 1_000 + kvs.length;
    if (newest !== revision) movedAt = now;
    revision = newest;
    const elapsed = now - startedAt - (stalls.ms - stalledBefore);
    let open = false;
    for (const { what, boundMs, problems } of aspects) {
      const found = problems(kvs);
      if (found.length === 0) {
        if (!heldAt.has(what)) heldAt.set(what, now - startedAt);
        if (late.delete(what)) world.note(`${what}: no more, after ${Math.round(now - startedAt)} ms`);
        continue;
      }
      open = true;
      const onTheWay = what === caches && now - movedAt < ON_THE_WAY_MS;
      if (elapsed < boundMs || onTheWay || late.has(what)) continue;
      late.add(what);
      world.violated(what, `${Math.round(elapsed)} ms after the faults: ${found.join('; ')}`);
    }
    // The leases of the dead end meanwhile, and what comes late comes.
    if (!open && elapsed >= DEAD_GONE_MS) break;
    if (elapsed > GIVEN_UP_MS) break;
    await delay(POLL_MS);
  }
  await oneLeaseEach(world);
  return {
    cacheMs: heldAt.get(caches) ?? NaN,
    registrationsMs: heldAt.get('registration missing') ?? NaN,
    connectionLost,
  };
};

const alive = (world: RealWorld): RealProcess[] => world.processes.filter(({ crashed }) => !crashed);

const cacheProblems = (world: RealWorld, process: RealProcess, kvs: readonly EtcdKeyValue[]): string[] => {
  const compare = (service: string, user: string, shown: readonly ServiceInstance[]): string[] => {
    const truth = world.truthOf(service, kvs);
    const vouched = shown.filter(({ suspect }) => !suspect).map(faceOf);
    const missing = truth.filter((face) => !vouched.includes(face));
    const surplus = vouched.filter((face) => !truth.includes(face));
    if (missing.length + surplus.length === 0) return [];
    return [
      `${process.name}, ${user} of ${service}: lacks ${missing.join()}; shows what is not there ${surplus.join()}`,
    ];
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

const registrationProblems = (world: RealWorld, process: RealProcess, kvs: readonly EtcdKeyValue[]): string[] => {
  const problems: string[] = [];
  const states = new Map(
    process.registrar.states.map(({ service, id, state }) => [instanceKey(world.namespace, service, id), state]),
  );
  for (const [key, intent] of process.intents) {
    const kv = kvs.find((candidate) => candidate.key === key);
    const isOurs = kv !== undefined && process.leases.has(kv.lease);
    // Somebody has taken the name that the user gave, and is not asked to give it back.
    if (kv && !isOurs && world.setting.givenIds && world.foreignKeys.has(key)) continue;
    const instance = kv && world.readKey(kv);
    if (!kv) problems.push(`${key} of ${process.name} is not there`);
    else if (!isOurs) problems.push(`${key} of ${process.name} is under another lease`);
    else if (instance?.status !== 'up' || instance.address !== intent.address || instance.weight !== intent.weight) {
      problems.push(`${key} says ${kv.value.toString()}, not weight ${intent.weight} at ${intent.address}`);
    } else if (states.get(key) !== 'registered') {
      problems.push(`${process.name} says that ${key} is ${states.get(key)}, which stands`);
    }
  }
  return problems;
};

/** Keys of processes that are gone, and keys that their process has taken out. */
const leftBehind = (world: RealWorld, kvs: readonly EtcdKeyValue[]): string[] => {
  const problems: string[] = [];
  for (const { key, lease } of kvs) {
    const owner = alive(world).find(({ leases }) => leases.has(lease));
    if (!owner && world.foreignKeys.has(key)) continue;
    if (!owner) problems.push(`${key} under ${lease}, of a process that is gone`);
    else if (!owner.intents.has(key)) problems.push(`${key}, which ${owner.name} has taken out`);
  }
  return problems;
};

const deadSuspects = (world: RealWorld): string[] =>
  alive(world).flatMap((process) =>
    [...process.followers.values()]
      .flatMap((follower) => follower.suspects())
      .filter(({ address }) => !world.accepts(address))
      .map(({ id, address }) => `${id} at ${address} in ${process.name}`),
  );

const oneLeaseEach = async (world: RealWorld): Promise<void> => {
  const there = new Set(await world.etcd.gateway.leases());
  for (const process of alive(world)) {
    const count = [...process.leases].filter((lease) => there.has(lease)).length;
    const most = process.hasRegistered ? 1 : 0;
    if (count > most) world.violated('leases', `${process.name} has ${count}`);
  }
};

/** Everybody leaves, and nothing is left of them: no lease, no key, no connection. */
export const leave = async (world: RealWorld): Promise<void> => {
  const { closesDuring } = world.setting;
  if (closesDuring) for (const { way } of alive(world)) way.break(closesDuring, 0);
  const all = [...world.processes, ...world.dead];
  await Promise.all(all.map((process) => process.close()));
  // Who cannot reach etcd leaves it to the lease.
  const keptFor = closesDuring ? DEAD_GONE_MS : 0;
  const leases = new Set(all.flatMap((process) => [...process.leases]));
  const stillThere = await remains(keptFor, async () => {
    const { kvs } = await world.etcd.gateway.read(world.namespace);
    const keys = kvs.filter(({ key, lease }) => leases.has(lease) || !world.foreignKeys.has(key));
    const granted = (await world.etcd.gateway.leases()).filter((lease) => leases.has(lease));
    return [...keys.map(({ key }) => key), ...granted.map((lease) => `lease ${lease}`)];
  });
  if (stillThere.length > 0) world.violated('left open', `after everybody left: ${stillThere.join()}`);
  const open = () => Promise.resolve(all.filter(({ way }) => way.open > 0).map(({ name }) => name));
  for (const { way } of all) way.mend();
  const connected = await remains(SOCKETS_CLOSED_MS, open);
  if (connected.length > 0) world.violated('left open', `connections of ${connected.join()}`);
  for (const { name, log } of all) {
    for (const line of log.of('error')) world.violated('defect', `${name} logged: ${line}`);
  }
  await Promise.all(all.map(({ way }) => way.stop()));
};

/** What is still found after that time. */
const remains = async (ms: number, look: () => Promise<string[]>): Promise<string[]> => {
  for (const until = performance.now() + ms; ; await delay(50)) {
    const found = await look();
    if (found.length === 0 || performance.now() >= until) return found;
  }
};
