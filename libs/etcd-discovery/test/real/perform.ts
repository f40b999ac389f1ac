import { setTimeout as delay } from 'node:timers/promises';
import { instanceKey, plainKey } from '../../src/instance/instance-key.js';
import { stored } from '../support/catalog-world.js';
import { describeStep, type RealOperation } from './operation.js';
import { SERVICES, type RealWorld } from './real-world.js';

const CORRUPT = ['', '{', '[1]', 'null', '{"Addr":7}', '\u0000\u0001', '{"address":"10.0.0.7:99999"}'];

/** Of keys that vanish with it, s. */
const SHORT_LEASE_S = 2;

const serviceOf = (s: number): string => SERVICES[s % SERVICES.length] as string;

type Step<Name extends RealOperation['op']> = Extract<RealOperation, { op: Name }>;

/** What each step does. */
const STEPS: { readonly [Name in RealOperation['op']]: (world: RealWorld, step: Step<Name>) => Promise<void> | void } =
  {
    wait: (_world, { ms }) => delay(ms),

    register: (world, { p, s, i }) => world.process(p).register(serviceOf(s), i),
    deregister: (world, { p, s, i }) => world.process(p).deregister(serviceOf(s), i),
    update: (world, { p, s, i, weight }) => world.process(p).update(serviceOf(s), i, weight),
    subscribe: (world, { p, s }) => world.process(p).subscribe(serviceOf(s)),
    unsubscribe: (world, { p, s }) => world.process(p).unsubscribe(serviceOf(s)),
    namespace: (world, { p }) => world.process(p).watchNamespace(),
    'end-namespace': (world, { p }) => world.process(p).endNamespace(),
    crash: (world, { p }) => world.process(p).crash(),
    start: (world, { p }) => world.restart(p),

    put: async (world, { s, i, weight, lease, listens }) => {
      const port = 9_000 + i;
      const key = keyOf(world, s, `f${i}`);
      world.listens(`10.0.0.7:${port}`, listens);
      const value = stored(serviceOf(s), `f${i}`, { port, weight });
      await world.etcd.gateway.put(noted(world, key), value, await leaseOf(world, lease));
    },
    burst: async (world, { s, count, weight }) => {
      const values = new Map<string, string>();
      for (let n = 0; n < count; n++) {
        const value = stored(serviceOf(s), `b${n}`, { port: 10_000 + n, weight });
        values.set(noted(world, keyOf(world, s, `b${n}`)), value);
      }
      await world.etcd.gateway.putAll(values, await world.etcd.foreignLease());
    },
    drain: async (world, { s, i }) => {
      const value = stored(serviceOf(s), `f${i}`, { status: 'draining' });
      await world.etcd.gateway.put(noted(world, keyOf(world, s, `f${i}`)), value, await world.etcd.foreignLease());
    },
    corrupt: async (world, { n }) => {
      const key = await someKey(world, n);
      if (key === undefined) return;
      world.corrupted.add(key);
      await world.etcd.gateway.put(noted(world, key), CORRUPT[n % CORRUPT.length] as string);
    },
    plain: (world, { s, there }) => {
      const key = noted(world, plainKey(world.namespace, serviceOf(s)));
      return there ? world.etcd.gateway.put(key, '10.9.9.9:8080') : world.etcd.gateway.delete(key);
    },
    delete: async (world, { n }) => {
      const key = await someKey(world, n);
      if (key !== undefined) await world.etcd.gateway.delete(key);
    },
    revoke: async (world, { n }) => {
      const leases = world.processes.flatMap((process) => [...process.leases]);
      const lease = leases[n % Math.max(1, leases.length)];
      if (lease !== undefined) await world.etcd.gateway.revoke(lease);
    },

    link: (world, { p, what, n }) => {
      const process = world.process(p);
      if (!process.crashed) process.way.break(what, n);
    },
    mend: (world, { p }) => {
      const process = world.process(p);
      if (!process.crashed) process.way.mend();
    },
  };

/** Those who write themselves need an etcd that answers. */
const WRITES: ReadonlySet<RealOperation['op']> = new Set([
  'put',
  'burst',
  'drain',
  'corrupt',
  'plain',
  'delete',
  'revoke',
]);

/** Does one step; one that makes no sense where the world stands does nothing, nor does one that etcd has refused. */
export const perform = async (world: RealWorld, operation: RealOperation): Promise<void> => {
  const step = STEPS[operation.op] as (world: RealWorld, step: RealOperation) => Promise<void> | void;
  if (operation.op !== 'wait') world.note(describeStep(operation));
  if (!WRITES.has(operation.op)) return step(world, operation);
  if (!world.etcd.isUp) return world.note('… not done: etcd is away');
  try {
    await step(world, operation);
  } catch (error) {
    world.note(`… not done: ${error instanceof Error ? error.message : String(error)}`);
  }
};

const keyOf = (world: RealWorld, s: number, id: string): string => instanceKey(world.namespace, serviceOf(s), id);

const noted = (world: RealWorld, key: string): string => {
  world.foreignKeys.add(key);
  return key;
};

const leaseOf = (world: RealWorld, lease: Step<'put'>['lease']): Promise<string> => {
  if (lease === 'none') return Promise.resolve('0');
  return lease === 'long' ? world.etcd.foreignLease() : world.etcd.gateway.grant(SHORT_LEASE_S);
};

const someKey = async (world: RealWorld, n: number): Promise<string | undefined> => {
  const { kvs } = await world.etcd.gateway.read(world.namespace);
  return kvs[n % Math.max(1, kvs.length)]?.key;
};
