import type { ModulesContainer } from '@nestjs/core';
import { ReplaySubject } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.js';
import { RegistryFakeEtcd } from '../../test/support/registry-fake-etcd.js';
import type { EtcdDiscoveryOptions } from '../options/etcd-discovery-options.interface.js';
import { resolveOptions } from '../options/resolve-options.js';
import { Registrar } from '../registry/registrar.js';
import { silentLog } from '../utils/log.js';
import { ServiceRegistry } from './service-registry.service.js';

/** As Nest's ServerGrpc, with a grpc-js server inside that says when it is told to drain. */
const grpcServer = (steps: string[] = []) => {
  const address = { address: '127.0.0.1', port: 50051 };
  return {
    transportId: 4,
    options: {},
    grpcClient: {
      http2Servers: new Map([[{ address: () => address }, {}]]),
      tryShutdown: (done: () => void) => {
        steps.push('drain');
        done();
      },
      forceShutdown: () => undefined,
    },
    listen: (callback: (error?: unknown) => void) => callback(),
    close: () => undefined,
  };
};

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const application = (...servers: object[]): ModulesContainer => {
  const targets = new ReplaySubject<object>();
  for (const server of servers) targets.next(server);
  return { getRpcTargetRegistry: () => targets.asObservable() } as unknown as ModulesContainer;
};

const scene = (options: Partial<EtcdDiscoveryOptions> = {}, { modules = application(grpcServer()) } = {}) => {
  const clock = new FakeClock();
  const etcd = new RegistryFakeEtcd(clock);
  const registrar = new Registrar({ etcd, namespace: '/services', clock, log: silentLog });
  const registry = new ServiceRegistry({
    options: resolveOptions({ etcd: { endpoints: 'fake:2379' }, shutdown: { propagationWait: '1ms' }, ...options }, {}),
    etcd: { client: etcd, registrar },
    modules,
    closeConnection: () => Promise.resolve(),
    log: silentLog,
  });
  /** Turns the clock until the promise has settled. */
  const done = async <T>(promise: Promise<T>): Promise<T> => {
    let over = false;
    promise.then(
      () => (over = true),
      () => (over = true),
    );
    // The hooks wait by real timers too, of a millisecond.
    await vi.waitFor(async () => {
      await clock.advance(100);
      expect(over).toBe(true);
    }, 5_000);
    return promise;
  };
  stops.push(() => done(registry.onApplicationShutdown()));
  return { clock, etcd, registrar, registry, done, modules };
};

const listening = (modules: ModulesContainer) =>
  new Promise<void>((resolve, reject) => {
    modules
      .getRpcTargetRegistry<ReturnType<typeof grpcServer>>()
      .subscribe((server) => server.listen((error) => (error ? reject(error as Error) : resolve())))
      .unsubscribe();
  });

const bootstrapped = async (given: ReturnType<typeof scene>) => {
  await listening(given.modules);
  await given.done(given.registry.onApplicationBootstrap());
  return given;
};

describe('ServiceRegistry', () => {
  it('registers at run time without waiting for another that is held up', async () => {
    const given = await bootstrapped(scene({ etcd: { endpoints: 'fake:2379', dialTimeout: '1m' } }));
    given.etcd.put('/services/a/x', JSON.stringify({ Op: 0, Addr: '10.0.0.9:1' }), given.etcd.foreignLease());
    given.registry.register({ name: 'a', id: 'x', advertise: '10.0.0.1:1' });
    await given.clock.advance(100);
    expect(given.registry.registrations).toMatchObject([{ service: 'a', state: 'registering' }]);
    await given.done(given.registry.register({ name: 'b', advertise: '10.0.0.1:1' }).done);
    expect(given.registry.registrations).toMatchObject([
      { service: 'a', state: 'registering' },
      { service: 'b', state: 'registered' },
    ]);
  });

  it('registers at run time after one that could not work', async () => {
    const given = await bootstrapped(scene());
    const first = given.registry.register({ name: 'a', id: 'x', advertise: '10.0.0.1:1' });
    await given.done(first.done);
    const twice = given.registry.register({ name: 'a', id: 'x', advertise: '10.0.0.1:1' });
    await expect(given.done(twice.done)).rejects.toMatchObject({ code: 'REGISTRATION_CONFLICT' });
    expect(given.registry.registrations).toMatchObject([{ service: 'a', state: 'registered' }]);
    const { done } = given.registry.register({ name: 'b', advertise: '10.0.0.1:1' });
    await given.done(done);
  });

  it('takes two services with one id for two', async () => {
    const given = scene();
    given.etcd.fate = ({ txn }) => (txn?.compare[0]?.key === '/services/b/x' ? 'hang' : undefined);
    const outcomes: string[] = [];
    const [a] = ['a', 'b'].map((name) => {
      const { done } = given.registry.register({ name, id: 'x', advertise: '10.0.0.1:1' });
      void done.then(
        () => outcomes.push(`${name} registered`),
        () => outcomes.push(`${name} taken back`),
      );
      return done;
    });
    await listening(given.modules);
    const bootstrap = given.registry.onApplicationBootstrap();
    await given.done(a!);
    await given.clock.advance(50);
    expect(outcomes).toEqual(['a registered']);
    await given.done(given.registry.deregister());
    await given.done(bootstrap);
    expect(outcomes).toEqual(['a registered', 'b taken back']);
  });

  it('updates a registration that is still waiting for its server', async () => {
    const server = grpcServer();
    const given = scene(
      { registration: { name: 'a', id: 'x', advertise: '10.0.0.1:1' } },
      { modules: application(server) },
    );
    await given.done(given.registry.onApplicationBootstrap());
    await given.done(given.registry.update('x', { weight: 7 }));
    await given.done(listening(given.modules));
    expect(given.etcd.valuesOf('/services/a/x').at(-1)).toMatchObject({ weight: 7 });
  });

  it('does not fail the start of an application that is stopped meanwhile', async () => {
    const given = scene({ registration: { name: 'a', advertise: '10.0.0.1:1' } });
    await listening(given.modules);
    given.etcd.freeze();
    const bootstrap = given.registry.onApplicationBootstrap();
    await given.clock.advance(50);
    const stop = given.registry.onModuleDestroy();
    await expect(given.done(bootstrap)).resolves.toBeUndefined();
    await given.done(stop);
  });

  it('gives clients the time to see what was deregistered just before the stop', async () => {
    const steps: string[] = [];
    const given = await bootstrapped(
      scene(
        { registration: { name: 'a', advertise: '10.0.0.1:1' }, shutdown: { propagationWait: '1s' } },
        { modules: application(grpcServer(steps)) },
      ),
    );
    await given.done(given.registry.deregister());
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const stop = given.registry.onModuleDestroy();
      await vi.advanceTimersByTimeAsync(900);
      expect(steps).toEqual([]);
      await vi.advanceTimersByTimeAsync(200);
      await stop;
      expect(steps).toEqual(['drain']);
    } finally {
      vi.useRealTimers();
    }
  });

  it('drains the servers only after every connection of the application has left etcd', async () => {
    const steps: string[] = [];
    const modules = application(grpcServer(steps));
    const writing = await bootstrapped(scene({ registration: { name: 'a', advertise: '10.0.0.1:1' } }, { modules }));
    const reading = await bootstrapped(scene({ name: 'other' }, { modules }));
    writing.registry.state$.subscribe(
      (states) => states.some(({ state }) => state === 'stopped') && steps.push('left'),
    );
    const stop = reading.registry.onModuleDestroy();
    await writing.done(stop);
    await writing.done(writing.registry.onModuleDestroy());
    expect([...new Set(steps)]).toEqual(['left', 'drain']);
  });
});
