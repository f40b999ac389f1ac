/** Nobody listens there, and nobody calls: services that are only read. */
const ADDRESS = '10.255.0.1:50051';

const SINCE = '2026-01-31T12:00:00.000Z';

const json = (value: unknown): string => JSON.stringify(value);
/** Whole but for what is given. */
const record = (id: string, fields: object, name = 'echo'): string =>
  json({
    Op: 0,
    Addr: ADDRESS,
    id,
    name,
    endpoints: [`grpc://${ADDRESS}`],
    address: ADDRESS,
    status: 'up',
    registeredAt: SINCE,
    ...fields,
  });
const binary = (bytes: number): Buffer => Buffer.from(Array.from({ length: bytes }, (_, at) => (at * 167 + 13) % 256));

/** Values of which none can be read as an instance, by the id they are put under. */
export const corruptValues: Readonly<Record<string, string | Buffer>> = {
  empty: '',
  blank: ' \n\t ',
  'half-json': '{"Addr":"10.255',
  'two-objects': '{"Addr":"10.255.0.1:1"}{"Addr":"10.255.0.2:1"}',
  null: 'null',
  true: 'true',
  number: '42',
  string: json(ADDRESS),
  list: json([ADDRESS]),
  'empty-object': '{}',
  'no-address': json({ Op: 0, metadata: { a: 'b' } }),
  'address-number': json({ Op: 0, Addr: 50_051 }),
  'address-object': json({ Op: 0, Addr: { host: '10.255.0.1', port: 1 } }),
  'address-without-port': json({ Op: 0, Addr: '10.255.0.1' }),
  'address-port-range': json({ Op: 0, Addr: '10.255.0.1:99999' }),
  'address-url': json({ Op: 0, Addr: 'http://user:word@10.255.0.1:80/path' }),
  'address-socket': json({ Op: 0, Addr: 'unix:/run/other.sock' }),
  'endpoints-object': json({ endpoints: { grpc: ADDRESS } }),
  'endpoints-numbers': json({ endpoints: [1, 2, 3] }),
  'metadata-list': record('metadata-list', { metadata: ['a'] }),
  'metadata-line-feed': record('metadata-line-feed', { metadata: { a: 'b\n[Nest] 1 - ERROR faked' } }),
  'metadata-crowd': record('metadata-crowd', {
    metadata: Object.fromEntries(Array.from({ length: 65 }, (_, n) => [n, ''])),
  }),
  'prototype-only': '{"__proto__":{"polluted":"yes"}}',
  'nested-deep': `${'['.repeat(8_000)}${']'.repeat(8_000)}`,
  'nested-objects': '{"a":'.repeat(3_000) + '1' + '}'.repeat(3_000),
  'too-large': json({ Addr: ADDRESS, padding: 'x'.repeat(20_000) }),
  'no-utf8': Buffer.from([0xc3, 0x28, 0xa0, 0xff]),
  'nul-bytes': Buffer.alloc(64),
  bytes: binary(512),
  'json-and-bytes': Buffer.concat([Buffer.from('{"Addr":"'), binary(64), Buffer.from('"}')]),
};

/** Can be read, and would put something on every object if it were copied carelessly. */
export const POLLUTING = record('prototype', {}, 'hostile').replace(
  /}$/,
  ',"__proto__":{"polluted":"yes"},"metadata":{"__proto__":{"polluted":"yes"},"constructor":"x","prototype":"x","a":"1"}}',
);

/** Whether something got onto the prototype of all objects of this process. */
export const isPolluted = (): boolean =>
  'polluted' in {} || Object.keys(Object.prototype).length > 0 || {}.constructor !== Object;
