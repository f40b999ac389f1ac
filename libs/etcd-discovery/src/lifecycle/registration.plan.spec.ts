import { describe, expect, it, vi } from 'vitest';
import type { EtcdClient } from '../etcd/etcd-client.js';
import { resolveRegistration } from '../options/resolve-options.js';
import type { Registrar } from '../registry/registrar.js';
import type { RegistrationSpec } from '../registry/registration-state.js';
import { silentLog } from '../utils/log.js';
import { RegistrationPlan } from './registration.plan.js';
import type { ServerTransport, TrackedServer } from './tracked-server.js';

const server = (transport: ServerTransport, port?: number): TrackedServer => ({
  transport,
  served: port === undefined ? undefined : { host: '0.0.0.0', port, secure: false },
  drain: () => Promise.resolve(),
});

const scene = (etcd: Partial<EtcdClient> = {}, env: NodeJS.ProcessEnv = {}) => {
  const registered: RegistrationSpec[] = [];
  const update = vi.fn(() => Promise.resolve());
  const registrar = {
    register: (spec: RegistrationSpec) => {
      registered.push(spec);
      return { id: spec.record.id, done: Promise.resolve() };
    },
    update,
  } as unknown as Registrar;
  let id = 0;
  const warn = vi.fn();
  const plan = new RegistrationPlan({
    etcd: { localAddress: () => Promise.resolve('10.0.0.7'), ...etcd } as EtcdClient,
    etcdEndpoints: ['10.0.0.1:2379'],
    registrar,
    failFast: false,
    newId: () => `id-${++id}`,
    env,
    log: { ...silentLog, warn },
  });
  return { plan, registered, update, warn };
};

describe('RegistrationPlan', () => {
  it('registers a service when its server is bound, and once', async () => {
    const { plan, registered } = scene();
    plan.add(resolveRegistration({ name: 'users', zone: 'a', version: '1.2.0', metadata: { team: 'x' } }));
    await plan.registerBound([server('grpc')]);
    expect(registered).toEqual([]);
    expect(plan.waiting).toMatchObject([
      { id: 'id-1', service: 'users', state: 'waiting', reason: expect.stringContaining('grpc') },
    ]);
    const servers = [server('grpc', 5001)];
    await plan.registerBound(servers);
    await plan.registerBound(servers);
    expect(registered).toHaveLength(1);
    expect(registered[0]).toMatchObject({
      idGiven: false,
      ttlMs: 10_000,
      record: {
        service: 'users',
        id: 'id-1',
        zone: 'a',
        version: '1.2.0',
        weight: 10,
        metadata: { team: 'x' },
        endpoints: [{ protocol: 'grpc', host: '10.0.0.7', port: 5001, secure: false }],
      },
    });
    expect(plan.waiting).toEqual([]);
  });

  it('makes one key of the gRPC and the TCP endpoint of a service', async () => {
    const { plan, registered, update } = scene();
    const grpc = plan.add(resolveRegistration({ name: 'users', ttl: '20s' }));
    const tcp = plan.add(resolveRegistration({ name: 'users', transport: 'tcp', ttl: '5s' }));
    expect(tcp.id).toBe(grpc.id);
    await plan.registerBound([server('grpc', 5001), server('tcp')]);
    expect(registered[0]?.record.endpoints.map(({ protocol }) => protocol)).toEqual(['grpc']);
    expect(registered[0]?.ttlMs).toBe(5_000);
    await plan.registerBound([server('grpc', 5001), server('tcp', 5002)]);
    expect(registered).toHaveLength(1);
    expect(update).toHaveBeenCalledWith(`users/${grpc.id}`, {
      endpoints: [
        expect.objectContaining({ protocol: 'grpc', port: 5001 }),
        expect.objectContaining({ protocol: 'tcp', port: 5002 }),
      ],
    });
  });

  it('keeps services apart that have different names or ids', async () => {
    const { plan, registered } = scene();
    for (const registration of [{ name: 'a' }, { name: 'b' }, { name: 'a', id: 'mine' }])
      plan.add(resolveRegistration(registration));
    await plan.registerBound([server('grpc', 5001)]);
    expect(registered.map(({ record, idGiven }) => [record.service, record.id, idGiven])).toEqual([
      ['a', 'id-1', false],
      ['b', 'id-2', false],
      ['a', 'mine', true],
    ]);
  });

  it('takes back what is waiting, by its id or by service and id', async () => {
    const { plan } = scene();
    const [a, b] = ['a', 'b'].map((name) => plan.add(resolveRegistration({ name, id: 'mine' })));
    plan.remove('a/mine');
    expect(plan.waiting).toMatchObject([{ service: 'b' }]);
    await expect(a?.done).rejects.toMatchObject({ code: 'ABORTED' });
    plan.remove('mine');
    await expect(b?.done).rejects.toMatchObject({ code: 'ABORTED' });
    expect(plan.waiting).toEqual([]);
  });

  it('names a registration without a server, and what there is instead', () => {
    const { plan } = scene();
    plan.add(resolveRegistration({ name: 'users', addr: '0.0.0.0:8080' }));
    expect(plan.unmatched([server('tcp', 3000)])).toEqual([
      expect.stringMatching(/"users".*grpc server on 0\.0\.0\.0:8080.*tcp on port 3000/),
    ]);
  });

  it('does not ask etcd for an address that is given', async () => {
    const localAddress = vi.fn();
    const { plan, registered } = scene({ localAddress });
    plan.add(resolveRegistration({ name: 'users', advertise: '192.0.2.1' }));
    await plan.registerBound([server('grpc', 5001)]);
    expect(localAddress).not.toHaveBeenCalled();
    expect(registered[0]?.record.endpoints[0]).toMatchObject({ host: '192.0.2.1', port: 5001 });
  });

  it('waits for etcd to know its address, and registers nothing when it is closed meanwhile', async () => {
    let open!: () => void;
    let address: string | undefined;
    const gate = {
      state: { open: false, since: new Date() },
      onChange: () => () => undefined,
      whenOpen: (signal?: AbortSignal) =>
        new Promise<void>((resolve) => {
          open = resolve;
          if (signal?.aborted) resolve();
          signal?.addEventListener('abort', () => resolve());
        }),
    };
    const { plan, registered } = scene({
      gate,
      localAddress: () => Promise.resolve(address),
      range: () => Promise.reject(new Error('away')),
    });
    plan.add(resolveRegistration({ name: 'users' }));
    const done = plan.registerBound([server('grpc', 5001)]);
    await vi.waitFor(() => expect(open).toBeDefined());
    expect(plan.waiting[0]?.reason).toMatch(/etcd/);
    address = '10.0.0.9';
    open();
    await done;
    expect(registered[0]?.record.endpoints[0]?.host).toBe('10.0.0.9');

    address = undefined;
    plan.add(resolveRegistration({ name: 'late' }));
    const late = plan.registerBound([server('grpc', 5001)]);
    plan.close();
    await late;
    expect(registered).toHaveLength(1);
  });
});
