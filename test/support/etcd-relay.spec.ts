import { Etcd3 } from 'etcd3';
import { EmbeddedEtcd } from 'nestjs-etcd-discovery/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EtcdRelay } from './etcd-relay.js';

interface WatchResponse {
  events: { kv: { key: Buffer; value: Buffer } }[];
}

describe('a relay in front of etcd', () => {
  let etcd: EmbeddedEtcd;
  let relay: EtcdRelay;
  let client: Etcd3;

  beforeEach(async () => {
    etcd = await EmbeddedEtcd.start();
    relay = await EtcdRelay.start(etcd.endpoint);
    client = new Etcd3({ hosts: [`http://${relay.endpoint}`], grpcOptions: { 'grpc.enable_http_proxy': 0 } });
  });
  afterEach(async () => {
    client.close();
    await relay.stop();
    await etcd.close();
  });

  /** A watch of `prefix`, opened raw; what comes is noted. */
  const watch = async (key: string) => {
    const stream = await client.watchClient.watch();
    const seen: string[] = [];
    let created = false;
    stream.on('data', (response) => {
      created ||= response.created;
      for (const { kv } of response.events) seen.push(kv.value.toString());
    });
    stream.on('error', (error) => seen.push(error.message));
    stream.write({ create_request: { key: Buffer.from(key) } });
    await vi.waitFor(() => expect(created).toBe(true));
    return { seen, end: () => stream.end() };
  };

  it('carries values, leases, watches and refusals both ways', async () => {
    const value = Buffer.from([0, 1, 254, 255]);
    const { seen, end } = await watch('a');
    await client.put('a').value(value);
    expect(await client.get('a').buffer()).toEqual(value);
    await vi.waitFor(() => expect(seen).toEqual([value.toString()]));
    end();

    const lease = client.lease(60, { autoKeepAlive: false });
    await lease.put('b').value('leased');
    await lease.keepaliveOnce();
    await lease.revoke();
    expect(await client.get('b').string()).toBeNull();
    await expect(client.leaseClient.leaseRevoke({ ID: '4711' })).rejects.toThrow(/lease not found/);
    expect(relay.count('KV/Put')).toBe(2);
    expect(relay.count('Lease/LeaseKeepAlive')).toBe(1);
  });

  it('ends the call when etcd goes away, and begins new ones when it is back', async () => {
    const { seen } = await watch('a');
    await etcd.stop();
    await vi.waitFor(() => expect(seen).toHaveLength(1));
    await etcd.start();
    await vi.waitFor(async () => expect(await client.get('a').string()).toBeNull(), 10_000);
  });

  it('passes on what an interceptor makes of requests', async () => {
    relay.intercept<{ value: Buffer }>('KV/Put', 'request', (put) => [{ ...put, value: Buffer.from('changed') }]);
    await client.put('a').value('given');
    expect(etcd.value('a')).toBe('changed');
  });

  it('leaves a message alone that an interceptor passes on as it is', async () => {
    const requests: object[] = [];
    relay.intercept('KV/Range', 'request', (request) => {
      requests.push(request);
      return [request];
    });
    await client.put('a').value('1');
    await client.put('b').value('2');
    // One key, not all that come after it: `range_end` is absent, not empty.
    expect((await client.get('a').exec()).kvs).toHaveLength(1);
    expect(requests).toEqual([{ key: Buffer.from('a'), limit: '1' }]);
  });

  it('repeats, withholds and changes answers, in streams under way too, until it is taken away', async () => {
    const { seen, end } = await watch('a');
    const takeAway = relay.intercept<WatchResponse>('Watch/Watch', 'response', (message) =>
      message.events[0]?.kv.value.toString() === 'lost' ? [] : [message, message],
    );
    for (const value of ['twice', 'lost', 'again']) await client.put('a').value(value);
    await vi.waitFor(() => expect(seen).toEqual(['twice', 'twice', 'again', 'again']));
    takeAway();
    await client.put('a').value('once');
    await vi.waitFor(() => expect(seen.slice(4)).toEqual(['once']));
    end();
  });

  it('keeps the order behind an interceptor that takes its time', async () => {
    const { seen, end } = await watch('a');
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    let first = true;
    relay.intercept('Watch/Watch', 'response', async (message) => {
      if (first) {
        first = false;
        await held;
      }
      return [message];
    });
    await client.put('a').value('1');
    await client.put('a').value('2');
    expect(seen).toEqual([]);
    release();
    await vi.waitFor(() => expect(seen).toEqual(['1', '2']));
    end();
  });

  it('fails the call of an interceptor that throws', async () => {
    relay.intercept('Lease/LeaseGrant', 'request', () => {
      throw new Error('no lease today');
    });
    await expect(client.leaseClient.leaseGrant({ TTL: 10 })).rejects.toThrow(/no lease today/);
  });
});
