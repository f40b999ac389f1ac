import { describe, expect, it } from 'vitest';
import { stored } from '../../test/support/catalog-world.js';
import type { ServiceInstance } from '../instance/service-instance.js';
import { staticInstances } from '../instance/static-instance.js';
import { type AcceptInstance, KeyReader } from './key-reader.js';
import { decodeHeader, encodeSnapshot, SnapshotDecoder } from './snapshot-format.js';

const NAMESPACE = '/services';
const HEADER = { namespace: NAMESPACE, endpoints: ['etcd:2379'], savedAt: '2026-01-31T12:00:00.000Z' };
const AS_OF = Date.parse('2026-01-31T11:57:00.000Z');

const readerOf = (accept?: AcceptInstance) => new KeyReader(NAMESPACE, { plainKeys: true, accept });

const read = (key: string, value: string): ServiceInstance => {
  const kv = { key, value: Buffer.from(value), createRevision: 3, modRevision: 5, version: 1, lease: '7' };
  const instance = readerOf().read(kv)?.known.instance;
  if (!instance) throw new Error(`not readable: ${value}`);
  return instance;
};

const linesOf = (services: Record<string, readonly ServiceInstance[]>): string[] => {
  const entries = Object.entries(services).map(([name, instances]) => [name, { asOf: AS_OF, instances }] as const);
  return [...encodeSnapshot(HEADER, entries)].join('').trimEnd().split('\n');
};

const decoded = (lines: readonly string[], accept?: AcceptInstance) => {
  const decoder = new SnapshotDecoder(NAMESPACE, readerOf(accept));
  for (const line of lines) decoder.read(line);
  return decoder;
};

const VALUES: Record<string, [key: string, value: string]> = {
  native: ['/services/s/a', stored('s', 'a')],
  'etcd-naming': ['/services/s/a', '{"Op":0,"Addr":"10.0.0.7:1","Metadata":{"zone":"a","team":"x"}}'],
  kratos: [
    '/services/s/a',
    '{"id":"a","name":"s","version":"v1","metadata":{"k":"ü"},"endpoints":["grpcs://10.0.0.7:1"]}',
  ],
  kitex: ['/services/s/a', '{"network":"tcp","address":"[2001:db8::7]:1","weight":70,"tags":{}}'],
  'go-micro': [
    '/services/s/a',
    '{"name":"s","nodes":[{"id":"a","address":"10.0.0.7:1","metadata":{"protocol":"http"}}]}',
  ],
  'go-zero': ['/services/s/7587', '10.0.0.7:1'],
  plain: ['/services/s', 'host.example:1'],
};

describe('a snapshot', () => {
  it.each(Object.entries(VALUES))('gives an instance of format %s back as etcd gave it', (format, [key, value]) => {
    const instance = read(key, value);
    expect(instance.format).toBe(format);
    const { services, skipped } = decoded(linesOf({ s: [instance] }).slice(1));
    const { zone: _, ...metadata } = instance.metadata;
    expect(services.get('s')).toEqual({ asOf: AS_OF, instances: [{ ...instance, metadata }] });
    expect(skipped).toBe(0);
  });

  it('holds what came from etcd alone, suspects included, and no service without instances', () => {
    const up = read('/services/s/a', stored('s', 'a'));
    const suspect = { ...up, id: 'b', suspect: true };
    const lines = linesOf({
      s: [up, suspect, ...staticInstances('s', ['h:1'])],
      t: staticInstances('t', ['h:1']),
      u: [],
    });
    const { services } = decoded(lines.slice(1));
    expect([...services.keys()]).toEqual(['s']);
    expect(services.get('s')?.instances.map(({ id }) => id)).toEqual(['a', 'b']);
  });

  it('is made in pieces', () => {
    const instance = read('/services/s/a', stored('s', 'a'));
    const many = Array.from({ length: 1_000 }, (_, n) => ({ ...instance, id: `i${n}` }));
    expect([...encodeSnapshot(HEADER, [['s', { asOf: AS_OF, instances: many }]])]).toHaveLength(21);
  });

  it('has a header that says whose it is', () => {
    expect(decodeHeader(linesOf({})[0]!)).toEqual(HEADER);
    for (const line of [
      '',
      'x',
      '[]',
      'null',
      '{"namespace":"/services"}',
      '{"namespace":1,"endpoints":[],"savedAt":""}',
    ]) {
      expect(decodeHeader(line)).toBeUndefined();
    }
  });
});

describe('a snapshot that somebody has written by hand', () => {
  const [, service, line] = linesOf({ s: [read('/services/s/a', stored('s', 'a'))] }) as [string, string, string];
  const [place, value] = line.split('\t') as [string, string];

  it('is read with the policy of addresses that holds for etcd', () => {
    const { services, skipped } = decoded([service, line], ({ host }) => host !== '10.0.0.7' || 'not this one');
    expect(services.get('s')?.instances).toEqual([]);
    expect(skipped).toBe(1);
  });

  it.each<[string, string]>([
    ['a value that is not JSON', `${place}\t{`],
    ['a value of another service', `${place}\t${value.replace('"name":"s"', '"name":"t"')}`],
    ['a draining instance', `${place}\t${value.replace('"up"', '"draining"')}`],
    ['an address that cannot be called', `${place}\t${value.replace(':8080', ':99999')}`],
    ['a value of more than 16 KB', `${place}\t${value.replace('{', `{"x":"${'x'.repeat(17_000)}",`)}`],
    ['the plain key of another service', `${place.replace('"a"', '"/services/t"')}\t${value}`],
    ['an id with a control character', `${place.replace('"a"', String.raw`"\u0000"`)}\t${value}`],
    ['a revision that is none', `${place.replace('"modRevision":5', '"modRevision":-1')}\t${value}`],
    ['a format that is none', `${place.replace('native', '__proto__')}\t${value}`],
    ['instances of the options', `${place.replace('native', 'static')}\t${value}`],
  ])('%s is left out and counted, and hurts no other', (_, tampered) => {
    const { services, skipped } = decoded([service, tampered, line]);
    expect(services.get('s')?.instances.map(({ id }) => id)).toEqual(['a']);
    expect(skipped).toBe(1);
  });

  it('with services that have no readable name or date, or come twice, loses those', () => {
    const bad = ['{}', '[]', '{"service":"a/b","asOf":"2026-01-31T12:00:00Z"}', '{"service":"t","asOf":"x"}', service];
    const { services, skipped } = decoded([service, line, ...bad.flatMap((other) => [other, line])]);
    expect([...services.keys()]).toEqual(['s']);
    expect(services.get('s')?.instances).toHaveLength(1);
    expect(skipped).toBe(2 * bad.length);
  });
});
