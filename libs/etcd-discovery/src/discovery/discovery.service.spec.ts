import { describe, expect, it, vi } from 'vitest';
import { EtcdRequestError } from '../etcd/etcd-status.js';
import { ServiceUnavailableError } from '../etcd-discovery.errors.js';
import { discoveryOptions, MOMENT } from '../../test/support/catalog-world.js';
import { discoveryWorld } from '../../test/support/discovery-world.js';

const closed = expect.objectContaining({ code: 'CLOSED' });
const invalidName = expect.objectContaining({ code: 'INVALID_NAME' });

describe('getService', () => {
  it('opens a watch, waits for the list and picks by weight', async () => {
    const { discovery, settled, up } = discoveryWorld();
    up('s', 'a', { weight: 1 });
    up('s', 'b', { weight: 9 });
    const first = await settled(discovery.getService('s'));
    expect(['a', 'b']).toContain(first.id);
    let b = 0;
    for (let i = 0; i < 1_000; i += 1) if ((await discovery.getService('s')).id === 'b') b += 1;
    expect(b).toBeGreaterThan(870);
    expect(b).toBeLessThan(930);
  });

  it('asks etcd once, and keeps the watch for 60 s after the last use', async () => {
    const { discovery, settled, up, etcd, clock } = discoveryWorld();
    up('s', 'a');
    await settled(Promise.all([discovery.getService('s'), discovery.getService('s')]));
    await clock.advance(59_000);
    await discovery.getService('s');
    await clock.advance(59_000);
    expect(etcd.ranges).toHaveLength(2);
    expect(etcd.openWatches).toHaveLength(2);
    await clock.advance(1_100);
    expect(etcd.openWatches).toHaveLength(0);
    expect(clock.pending).toBe(0);
  });

  it('names the service and the revision when etcd lists no instance', async () => {
    const { discovery, settled } = discoveryWorld();
    const failure = settled(discovery.getService('s'));
    await expect(failure).rejects.toBeInstanceOf(ServiceUnavailableError);
    await expect(failure).rejects.toThrow(/service "s" has no live instance at etcd revision 1; etcd answers/);
  });

  it('fails as soon as etcd refuses, with what it said and when', async () => {
    const { discovery, settled, etcd, clock } = discoveryWorld();
    etcd.rangeFailures.push(new EtcdRequestError('permission-denied', 'etcdserver: permission denied'));
    const failure = settled(discovery.getService('s'), 2);
    await expect(failure).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE', cause: { code: 'ETCD_AUTH' } });
    await expect(failure).rejects.toThrow(
      /service "s" cannot be listed: etcd refused at \d{4}-.*: etcdserver: permission/,
    );
    expect(clock.now()).toBeLessThan(10);
  });

  it('fails at once while the connection is known to be down', async () => {
    const { discovery, etcd, clock } = discoveryWorld();
    etcd.goDown();
    await expect(discovery.getService('s')).rejects.toThrow(/etcd refused at .*: connect ECONNREFUSED/);
    expect(clock.now()).toBe(0);
  });

  it('waits for a silent etcd no longer than resolveTimeout', async () => {
    const { discovery, etcd, clock, settled } = discoveryWorld();
    const range = etcd.range.bind(etcd);
    etcd.range = (request, options) => range(request, { ...options, timeoutMs: 1_000_000 });
    etcd.frozen = true;
    const outcome = vi.fn();
    const failure = discovery.getService('s');
    failure.catch(outcome);
    await clock.advance(4_999);
    expect(outcome).not.toHaveBeenCalled();
    await expect(settled(failure, 1)).rejects.toThrow(
      /service "s" was not listed within 5000 ms: etcd has not answered/,
    );
  });

  it('answers from the last known state while etcd is away', async () => {
    const { discovery, settled, up, etcd } = discoveryWorld();
    up('s', 'a');
    await settled(discovery.getService('s'));
    etcd.goDown();
    await expect(discovery.getService('s')).resolves.toMatchObject({ id: 'a' });
  });
});

describe('many questions before the first list', () => {
  it('are no leak in the eyes of Node', async () => {
    const { discovery, settled } = discoveryWorld();
    const warnings = vi.fn();
    process.on('warning', warnings);
    try {
      const questions = Array.from({ length: 30 }, () => [discovery.getServiceList('s'), discovery.getAllServices()]);
      await settled(Promise.all(questions.flat()));
      // Node warns in a later turn.
      await new Promise((resolve) => setImmediate(resolve));
      expect(warnings).not.toHaveBeenCalled();
    } finally {
      process.off('warning', warnings);
    }
  });
});

describe('getServiceList', () => {
  it('gives all live instances, an own array each time', async () => {
    const { discovery, settled, up } = discoveryWorld();
    up('s', 'b');
    up('s', 'a');
    up('s', 'c', { status: 'draining' });
    const list = await settled(discovery.getServiceList('s'));
    expect(list.map(({ id }) => id)).toEqual(['a', 'b']);
    list.length = 0;
    expect(await discovery.getServiceList('s')).toHaveLength(2);
  });

  it('is empty for a service without instances', async () => {
    const { discovery, settled } = discoveryWorld();
    expect(await settled(discovery.getServiceList('s'))).toEqual([]);
  });
});

describe('getAllServices', () => {
  it('gives every service under the namespace, with one watch kept for 60 s', async () => {
    const { discovery, settled, up, etcd, clock } = discoveryWorld();
    up('a', '1');
    up('b', '1');
    const services = await settled(discovery.getAllServices());
    expect(Object.keys(services)).toEqual(['a', 'b']);
    up('b', '2');
    await clock.advance(30_000);
    expect((await discovery.getAllServices())['b']).toHaveLength(2);
    expect(etcd.ranges).toHaveLength(1);
    await clock.advance(60_000);
    expect(etcd.openWatches).toHaveLength(0);
    expect(clock.pending).toBe(0);
  });

  it('fails as soon as etcd refuses', async () => {
    const { discovery, etcd } = discoveryWorld();
    etcd.goDown();
    await expect(discovery.getAllServices()).rejects.toThrow(/the namespace cannot be listed: etcd refused/);
  });
});

describe('cache mode', () => {
  it('resolves when every named service is listed, and answers without I/O from then on', async () => {
    const { discovery, settled, up, etcd } = discoveryWorld();
    up('a', '1');
    up('c', '1');
    await settled(discovery.startWatch(['a', 'b', 'a']));
    const asked = etcd.ranges.length;
    expect(discovery.getCachedService('a')?.id).toBe('1');
    expect(discovery.getCachedService('b')).toBeUndefined();
    expect(discovery.getCachedService('c')).toBeUndefined();
    expect(etcd.ranges).toHaveLength(asked);
    expect(etcd.openWatches).toHaveLength(4);
  });

  it('without names serves all services with one watch', async () => {
    const { discovery, settled, up, etcd, clock } = discoveryWorld();
    up('a', '1');
    await settled(discovery.startWatch());
    up('b', '1');
    await clock.advance(200);
    expect(discovery.getCachedService('a')?.id).toBe('1');
    expect(discovery.getCachedService('b')?.id).toBe('1');
    expect((await discovery.getService('b')).id).toBe('1');
    expect(etcd.openWatches).toHaveLength(1);
  });

  it('started twice holds one share, which lasts to the end', async () => {
    const { discovery, settled, etcd, clock } = discoveryWorld();
    await settled(discovery.startWatch(['a']));
    await settled(discovery.startWatch(['a']));
    await clock.advance(600_000);
    expect(etcd.openWatches).toHaveLength(2);
    discovery.close();
    expect(etcd.openWatches).toHaveLength(0);
    await clock.advance(MOMENT);
    expect(clock.pending).toBe(0);
  });

  it('waits for etcd until its signal aborts, and gives back what it began', async () => {
    const { discovery, settled, etcd, clock } = discoveryWorld();
    etcd.goDown();
    const controller = new AbortController();
    const started = discovery.startWatch(['a'], { signal: controller.signal });
    started.catch(() => {});
    await clock.advance(60_000);
    controller.abort();
    await expect(settled(started)).rejects.toMatchObject({ code: 'ABORTED' });
    expect(clock.pending).toBe(0);
  });
});

describe('every method', () => {
  it('refuses names that cannot be a service', async () => {
    const { discovery, clock } = discoveryWorld();
    for (const name of ['', '../x', 'a/b', 'A', 'x'.repeat(200)]) {
      await expect(discovery.getService(name)).rejects.toEqual(invalidName);
      await expect(discovery.getServiceList(name)).rejects.toEqual(invalidName);
      await expect(discovery.startWatch([name])).rejects.toEqual(invalidName);
      await expect(discovery.waitForService(name)).rejects.toEqual(invalidName);
      expect(() => discovery.watchService(name)).toThrow(invalidName);
      expect(() => discovery.getCachedService(name)).toThrow(invalidName);
    }
    expect(clock.pending).toBe(0);
  });

  it('refuses after the close, and what waits then ends with CLOSED', async () => {
    const { discovery, catalog, etcd, settled, clock } = discoveryWorld({ options: discoveryOptions() });
    etcd.frozen = true;
    const waits = [
      discovery.getService('a'),
      discovery.getServiceList('b'),
      discovery.getAllServices(),
      discovery.startWatch(['c']),
      discovery.startWatch(),
      discovery.waitForService('d'),
    ];
    await clock.advance(1_000);
    await catalog.close();
    for (const wait of waits) await expect(wait).rejects.toEqual(closed);
    await expect(discovery.getService('a')).rejects.toEqual(closed);
    await expect(discovery.getAllServices()).rejects.toEqual(closed);
    await expect(discovery.startWatch()).rejects.toEqual(closed);
    await expect(discovery.waitForService('a')).rejects.toEqual(closed);
    expect(() => discovery.watchService('a')).toThrow(closed);
    expect(() => discovery.getCachedService('a')).toThrow(closed);
    await settled(Promise.resolve(), 3_000);
    expect(clock.pending).toBe(0);
  });
});
