import { describe, expect, it } from 'vitest';
import { decodeInstance } from './decode-instance.js';
import type { ServiceInstance } from './service-instance.js';

const read = (value: string | object, id: string) =>
  decodeInstance({
    service: 'users',
    id,
    value: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
    createRevision: 3,
    modRevision: 4,
  });

const instanceOf = (value: string | object, id = 'users-1'): ServiceInstance => {
  const result = read(value, id);
  if (!result.ok) throw new Error(result.reason);
  return result.instance;
};

const reasonOf = (value: string | object, id = 'users-1'): string => {
  const result = read(value, id);
  if (result.ok) throw new Error(`read as ${result.instance.format}`);
  return result.reason;
};

const kratos = {
  id: 'users-1',
  name: 'users',
  version: '1.2.0',
  metadata: { weight: '20', zone: 'b' },
  endpoints: ['http://10.0.0.7:8000', 'grpc://10.0.0.7:50051'],
};

describe('values of other stacks', () => {
  it('etcd naming', () => {
    expect(instanceOf('{"Op":0,"Addr":"10.0.0.7:50051","Metadata":null}')).toEqual({
      id: 'users-1',
      service: 'users',
      address: '10.0.0.7:50051',
      host: '10.0.0.7',
      port: 50_051,
      endpoints: [{ protocol: 'grpc', host: '10.0.0.7', port: 50_051, secure: false }],
      weight: 10,
      metadata: {},
      status: 'up',
      suspect: false,
      format: 'etcd-naming',
      createRevision: 3,
      modRevision: 4,
    });
  });

  it('etcd naming with metadata of any kind', () => {
    expect(instanceOf({ Op: 0, Addr: 'a:1', Metadata: { weight: 7, zone: 'c', on: true, list: [1] } })).toMatchObject({
      weight: 7,
      zone: 'c',
      metadata: { weight: '7', zone: 'c', on: 'true' },
    });
    expect(instanceOf({ Op: 0, Addr: 'a:1', Metadata: 'free text' })).toMatchObject({ weight: 10, metadata: {} });
    expect(instanceOf({ Op: 0, Addr: 'a:1', Metadata: [1, 2] })).toMatchObject({ metadata: {} });
  });

  it('Kratos, the gRPC endpoint before the HTTP one', () => {
    expect(instanceOf(kratos)).toMatchObject({
      format: 'kratos',
      address: '10.0.0.7:50051',
      version: '1.2.0',
      weight: 20,
      zone: 'b',
      metadata: { weight: '20', zone: 'b' },
      endpoints: [
        { protocol: 'http', port: 8000, secure: false },
        { protocol: 'grpc', port: 50_051, secure: false },
      ],
    });
  });

  it('Kratos over TLS, as version 3 and as version 2 say it; unknown protocols are passed over', () => {
    const endpoints = [
      'ws://10.0.0.7:1',
      'grpcs://10.0.0.7:2',
      'grpc://10.0.0.7:3?isSecure=true',
      'http://10.0.0.7:4?isSecure=false',
    ];
    expect(instanceOf({ ...kratos, endpoints }).endpoints).toEqual([
      { protocol: 'grpc', host: '10.0.0.7', port: 2, secure: true },
      { protocol: 'grpc', host: '10.0.0.7', port: 3, secure: true },
      { protocol: 'http', host: '10.0.0.7', port: 4, secure: false },
    ]);
  });

  it('Kratos of another service hurts itself alone', () => {
    expect(reasonOf({ ...kratos, name: 'orders' })).toBe('the value is of service "orders"');
  });

  it('Kitex', () => {
    const value = { network: 'tcp', address: '10.0.0.7:50051', weight: 30, tags: { zone: 'a', k: 'v' } };
    expect(instanceOf(value, '10.0.0.7:50051')).toMatchObject({
      id: '10.0.0.7:50051',
      format: 'kitex',
      weight: 30,
      zone: 'a',
      metadata: { zone: 'a', k: 'v' },
    });
    expect(instanceOf({ ...value, weight: 0 }).weight).toBe(10);
    expect(instanceOf({ ...value, weight: -1, tags: null }).weight).toBe(10);
    expect(reasonOf({ ...value, network: 'unix', address: '/tmp/s' })).toBe('network is not tcp');
  });

  it('go-zero', () => {
    expect(instanceOf('10.0.0.7:50051', '7587848943239472601')).toMatchObject({
      id: '7587848943239472601',
      format: 'go-zero',
      address: '10.0.0.7:50051',
      weight: 10,
    });
  });

  it('a plain value at the key of the service', () => {
    expect(instanceOf('10.0.0.7:50051\n', '/services/users')).toMatchObject({ format: 'plain', port: 50_051 });
    expect(instanceOf('[::1]:50051', '/services/users')).toMatchObject({ host: '::1', address: '[::1]:50051' });
  });

  it('go-micro, whose description of methods is deeper than anything that is read', () => {
    const value = {
      name: 'users',
      version: 'latest',
      metadata: null,
      endpoints: [
        { name: 'Users.Get', request: { name: 'Req', type: 'Req', values: [{ name: 'id', values: [{ name: 'x' }] }] } },
      ],
      nodes: [{ id: 'users-1', address: '10.0.0.7:50051', metadata: { protocol: 'grpc', zone: 'a', weight: '5' } }],
    };
    expect(instanceOf(value)).toMatchObject({
      format: 'go-micro',
      version: 'latest',
      zone: 'a',
      weight: 5,
      endpoints: [{ protocol: 'grpc', host: '10.0.0.7', port: 50_051 }],
    });
    const mucp = { ...value, nodes: [{ id: 'x', address: 'a:1', metadata: { protocol: 'mucp' } }] };
    expect(instanceOf(mucp).endpoints).toMatchObject([{ protocol: 'tcp' }]);
    expect(reasonOf({ ...value, nodes: [] })).toBe('nodes is empty');
  });

  it.each([
    ['99999', 10_000],
    ['0', 1],
    ['-5', 1],
    ['2.6', 3],
    ['Infinity', 10_000],
    ['heavy', 10],
    ['', 10],
  ])('a weight of %j is taken as %d', (weight, expected) => {
    expect(instanceOf({ ...kratos, metadata: { weight } }).weight).toBe(expected);
  });
});
