import { describe, expect, it, vi } from 'vitest';
import { discoveryOptions, idsOf } from '../../test/support/catalog-world.js';
import { silentLog } from '../utils/log.js';
import { StaticCatalog } from './static-catalog.js';

const open = () =>
  new StaticCatalog({ options: discoveryOptions({ static: { a: ['10.0.0.2:1', '10.0.0.1:1'] } }), log: silentLog });

describe('a catalog without etcd', () => {
  it('has the addresses of the options at once', async () => {
    const share = open().acquire('a');
    expect(idsOf(share.snapshot)).toEqual(['10.0.0.1:1', '10.0.0.2:1']);
    expect(share.health.state).toBe('live');
    expect((await share.ready()).revision).toBe(0);
  });

  it('answers for a service without addresses: none', () => {
    expect(open().acquire('b').snapshot?.instances).toEqual([]);
  });

  it('lists all services by the namespace', async () => {
    const share = open().acquireNamespace();
    await share.ready();
    expect([...share.snapshots.keys()]).toEqual(['a']);
  });

  it('peeks only while somebody watches', () => {
    const catalog = open();
    expect(catalog.peek('a')).toBeUndefined();
    const share = catalog.acquire('a');
    expect(idsOf(catalog.peek('a'))).toHaveLength(2);
    share.release();
    expect(catalog.peek('a')).toBeUndefined();
  });

  it('refuses after the close, and tells of it once', async () => {
    const catalog = open();
    const closed = vi.fn();
    catalog.onClose(closed);
    const share = catalog.acquire('a');
    await catalog.close();
    await catalog.close();
    expect(closed).toHaveBeenCalledTimes(1);
    await expect(share.ready()).rejects.toMatchObject({ code: 'CLOSED' });
    expect(() => catalog.acquire('a')).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    expect(() => catalog.acquireNamespace()).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  it('refuses a name that cannot be a service', () => {
    expect(() => open().acquire('../x')).toThrow(expect.objectContaining({ code: 'INVALID_NAME' }));
  });
});
