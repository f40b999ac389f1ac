import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  DiscoveryService,
  type EtcdDiscoveryOptions,
  EtcdDiscoveryModule,
  type EtcdDiscoveryOptionsFactory,
  InjectDiscovery,
  ServiceRegistry,
  getDiscoveryServiceToken,
  getServiceRegistryToken,
} from './index.js';
import { EmbeddedEtcd } from './testing/index.js';

let etcd: EmbeddedEtcd;
const options = (extra: Partial<EtcdDiscoveryOptions> = {}): EtcdDiscoveryOptions => ({
  etcd: { endpoints: etcd.endpoint },
  ...extra,
});

beforeAll(async () => {
  etcd = await EmbeddedEtcd.start();
});
afterAll(() => etcd.close());

const open: { close(): Promise<void> }[] = [];
const compile = async (...imports: object[]) => {
  const module = await Test.createTestingModule({ imports: imports as never[] }).compile();
  await module.init();
  open.push(module);
  return module;
};
afterEach(async () => {
  for (const module of open.splice(0)) await module.close();
});

const works = async (discovery: DiscoveryService) => expect(await discovery.getServiceList('nobody')).toEqual([]);

@Injectable()
class OptionsFactory implements EtcdDiscoveryOptionsFactory {
  createEtcdDiscoveryOptions(): EtcdDiscoveryOptions {
    return options();
  }
}

@Module({ providers: [OptionsFactory], exports: [OptionsFactory] })
class OptionsModule {}

@Injectable()
class Consumer {
  constructor(readonly discovery: DiscoveryService) {}
}

@Module({ providers: [Consumer], exports: [Consumer] })
class ConsumerModule {}

describe('forRoot', () => {
  it('gives a DiscoveryService and a ServiceRegistry', async () => {
    const module = await compile(EtcdDiscoveryModule.forRoot(options()));
    await works(module.get(DiscoveryService));
    expect(module.get(ServiceRegistry).registrations).toEqual([]);
  });

  it('is injectable everywhere with isGlobal, and only where it is imported without', async () => {
    const module = await compile(EtcdDiscoveryModule.forRoot({ ...options(), isGlobal: true }), ConsumerModule);
    await works(module.get(Consumer).discovery);
    await expect(
      Test.createTestingModule({ imports: [EtcdDiscoveryModule.forRoot(options()), ConsumerModule] }).compile(),
    ).rejects.toThrow(/DiscoveryService/);
  });

  it('refuses options that cannot work, all mistakes at once', async () => {
    const refused = Test.createTestingModule({
      imports: [
        EtcdDiscoveryModule.forRoot({
          etcd: { endpoints: 'x:y' },
          registration: { name: '../x' },
          nmespace: '/a',
        } as never),
      ],
    }).compile();
    await expect(refused).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
    await expect(refused).rejects.toThrow(/endpoints[\s\S]*name[\s\S]*nmespace|nmespace[\s\S]*endpoints/);
  });
});

describe('health', () => {
  it('is told NOT_SERVING when the application leaves', async () => {
    const told: string[] = [];
    const module = await compile(
      EtcdDiscoveryModule.forRoot(
        options({ health: { setStatus: (service, status) => told.push(`${service} ${status}`) } }),
      ),
    );
    await module.close();
    expect(told).toEqual([' NOT_SERVING']);
  });

  it('is refused where nothing can be told to it', async () => {
    await expect(
      Test.createTestingModule({ imports: [EtcdDiscoveryModule.forRoot(options({ health: {} as never }))] }).compile(),
    ).rejects.toThrow(/health: .*setStatus/);
  });
});

describe('an HTTP application of a testing module', () => {
  it('is found although its adapter comes after the providers', async () => {
    const module = await Test.createTestingModule({
      imports: [
        EtcdDiscoveryModule.forRoot(
          options({ registration: { name: 'web', transport: 'http' }, shutdown: { propagationWait: 0 } }),
        ),
      ],
    }).compile();
    const app = module.createNestApplication({ logger: false });
    open.push(app);
    await app.listen(0, '127.0.0.1');
    expect(app.get(ServiceRegistry).registrations).toMatchObject([{ service: 'web', state: 'registered' }]);
    const [instance] = await app.get(DiscoveryService).getServiceList('web');
    expect(instance?.endpoints).toMatchObject([{ protocol: 'http', host: '127.0.0.1' }]);
  });
});

describe('forRootAsync', () => {
  it('takes useFactory with inject and imports', async () => {
    const module = await compile(
      EtcdDiscoveryModule.forRootAsync({
        imports: [OptionsModule],
        inject: [OptionsFactory],
        useFactory: (factory: OptionsFactory) => factory.createEtcdDiscoveryOptions(),
      }),
    );
    await works(module.get(DiscoveryService));
  });

  it('takes useClass', async () => {
    const module = await compile(EtcdDiscoveryModule.forRootAsync({ useClass: OptionsFactory }));
    await works(module.get(DiscoveryService));
  });

  it('takes useExisting', async () => {
    const module = await compile(
      EtcdDiscoveryModule.forRootAsync({ imports: [OptionsModule], useExisting: OptionsFactory }),
    );
    await works(module.get(DiscoveryService));
  });

  it('takes isGlobal', async () => {
    const module = await compile(
      EtcdDiscoveryModule.forRootAsync({ isGlobal: true, useFactory: () => options() }),
      ConsumerModule,
    );
    await works(module.get(Consumer).discovery);
  });
});

describe('named connections', () => {
  it('stand side by side, each under tokens of its own', async () => {
    @Injectable()
    class Both {
      constructor(
        readonly local: DiscoveryService,
        @InjectDiscovery('remote') readonly remote: DiscoveryService,
      ) {}
    }
    @Module({
      imports: [EtcdDiscoveryModule.forRoot(options()), EtcdDiscoveryModule.forRoot(options({ name: 'remote' }))],
      providers: [Both],
    })
    class BothModule {}
    const module = await compile(BothModule);
    const { local, remote } = module.get(Both);
    expect(remote).not.toBe(local);
    await works(local);
    await works(remote);
    expect(module.get(getDiscoveryServiceToken('remote'), { strict: false })).toBe(remote);
    expect(module.get(getServiceRegistryToken('remote'), { strict: false })).toBeInstanceOf(ServiceRegistry);
    // Asked for by class, from anywhere, it is the default connection's, whichever module comes last.
    expect(module.get(DiscoveryService, { strict: false })).toBe(local);
    expect(module.get(ServiceRegistry, { strict: false })).not.toBe(
      module.get(getServiceRegistryToken('remote'), { strict: false }),
    );
  });

  it.each([
    ['forRoot', () => EtcdDiscoveryModule.forRoot(options({ name: 'remote' }))],
    ['forRootAsync', () => EtcdDiscoveryModule.forRootAsync({ name: 'remote', useFactory: () => options() })],
  ])('made by %s alone, are found by class too', async (_, remote) => {
    const module = await compile(remote());
    const discovery = module.get<DiscoveryService>(getDiscoveryServiceToken('remote'), { strict: false });
    await works(discovery);
    expect(module.get(DiscoveryService, { strict: false })).toBe(discovery);
    expect(module.get(ServiceRegistry, { strict: false })).toBe(
      module.get(getServiceRegistryToken('remote'), { strict: false }),
    );
  });
});

describe('a connection that is named twice', () => {
  it('is refused unless both names are the same', async () => {
    const named = (outer: string, inner: string) =>
      Test.createTestingModule({
        imports: [EtcdDiscoveryModule.forRootAsync({ name: outer, useFactory: () => options({ name: inner }) })],
      }).compile();
    await expect(named('outer', 'inner')).rejects.toThrow(/"inner".*"outer"/);
    const module = await named('same', 'same');
    open.push(module);
    await works(module.get(getDiscoveryServiceToken('same'), { strict: false }));
  });
});

describe('enabled: false', () => {
  it('knows the static instances and never looks for etcd', async () => {
    const module = await compile(
      EtcdDiscoveryModule.forRoot({
        enabled: false,
        etcd: { endpoints: '127.0.0.1:1' },
        registration: { name: 'users' },
        discovery: { static: { users: ['127.0.0.1:50051', '[::1]:50052'] } },
      }),
    );
    const list = await module.get(DiscoveryService).getServiceList('users');
    expect(list.map(({ address, format }) => [address, format])).toEqual([
      ['127.0.0.1:50051', 'static'],
      ['[::1]:50052', 'static'],
    ]);
    expect(module.get(ServiceRegistry).registrations).toEqual([]);
  });
});

describe('several applications in one process', () => {
  it('each have their own connection, and closing one leaves the other', async () => {
    const first = await compile(EtcdDiscoveryModule.forRoot(options()));
    const second = await compile(EtcdDiscoveryModule.forRoot(options()));
    await first.close();
    await works(second.get(DiscoveryService));
  });
});
