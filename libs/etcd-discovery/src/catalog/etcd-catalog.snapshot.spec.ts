import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { discoveryOptions, follow, MOMENT, RESYNC } from '../../test/support/catalog-world.js';
import { discoveryWorld } from '../../test/support/discovery-world.js';
import type { EtcdCatalogDeps } from './etcd-catalog.js';
import type { ServiceSubscription } from './service-catalog.js';
import { ageOf } from './last-known.js';

const HOST = '10.0.0.7';
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

let directory: string;
let file: string;

const world = (deps: Partial<EtcdCatalogDeps> = {}, options: Parameters<typeof discoveryOptions>[0] = {}) =>
  discoveryWorld({ endpoints: ['etcd:2379'], options: discoveryOptions({ snapshotFile: file, ...options }), ...deps });

type World = ReturnType<typeof world>;

const shown = (share: ServiceSubscription) =>
  share.snapshot?.instances.map(({ id, suspect }) => (suspect ? `${id}?` : id));

/** Time of the fake clock, and a moment of real time for the file. */
const pass = async ({ clock }: World, ms: number): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1) {
    await clock.advance(ms / 5);
    await delay(4);
  }
};

/** What an application leaves behind that has seen these instances, `a` on port 1, `b` on port 2 and so on. */
const leftBehind = async (services: Record<string, string>, ageMs = 0): Promise<void> => {
  const first = world();
  for (const [service, ids] of Object.entries(services)) {
    for (const id of ids) first.up(service, id, { port: id.charCodeAt(0) - 96 });
    first.catalog.acquire(service);
  }
  await first.clock.advance(MOMENT);
  vi.setSystemTime(Date.now() - ageMs);
  await first.catalog.close();
  vi.setSystemTime(Date.now() + ageMs);
};

/** A new process that finds etcd away; behind these ports somebody accepts connections. */
const coldStart = (ports: readonly number[], deps: Partial<EtcdCatalogDeps> = {}, options = {}): World => {
  const next = world(deps, options);
  for (const port of ports) next.peers.accepting.add(`${HOST}:${port}`);
  next.etcd.goDown();
  return next;
};

const instancesIn = (text: string): string[] => [...text.matchAll(/"id":"(\w+)"/g)].map(([, id]) => id!);
const onDisk = (): string[] => instancesIn(readFileSync(file, 'utf8'));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
  directory = mkdtempSync(join(tmpdir(), 'snapshot-'));
  file = join(directory, 'snapshot');
});

afterEach(() => {
  vi.useRealTimers();
  rmSync(directory, { recursive: true, force: true });
});

describe('while etcd answers', () => {
  it('a change is in the file a second later, with others of that time, then at most every 10 s', async () => {
    const { catalog, clock, up } = world();
    up('s', 'a');
    catalog.acquire('s');
    await clock.advance(900);
    up('s', 'b');
    await clock.advance(50);
    expect(existsSync(file)).toBe(false);
    await clock.advance(100);
    await vi.waitFor(() => expect(onDisk()).toEqual(['a', 'b']));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    up('s', 'c');
    await clock.advance(9_800);
    await delay(20);
    expect(onDisk()).toEqual(['a', 'b']);
    await clock.advance(200);
    await vi.waitFor(() => expect(onDisk()).toEqual(['a', 'b', 'c']));
  });

  it('what does not change is not written again, but for its age every 5 min', async () => {
    const one = world();
    one.up('s', 'a');
    one.catalog.acquire('s');
    await pass(one, 1_500);
    await vi.waitFor(() => expect(onDisk()).toEqual(['a']));
    const before = readFileSync(file, 'utf8');
    vi.setSystemTime(Date.now() + 4 * MINUTE);
    // A list that brings no news.
    one.etcd.endWatches({ reason: 'error' });
    await pass(one, 4 * MINUTE);
    expect(readFileSync(file, 'utf8')).toBe(before);
    vi.setSystemTime(Date.now() + MINUTE);
    await pass(one, MINUTE + 2_000);
    await vi.waitFor(() => expect(readFileSync(file, 'utf8')).not.toBe(before));
    expect(onDisk()).toEqual(['a']);
  });

  it('suspects are kept in it, static addresses are not, and a service that is empty leaves it', async () => {
    const one = world({}, { static: { s: ['static:1'] } });
    one.peers.accepting.add(`${HOST}:1`).add(`${HOST}:2`);
    one.up('s', 'a', { port: 1 });
    one.up('t', 'b', { port: 2 });
    const [s, t] = [one.catalog.acquire('s'), one.catalog.acquire('t')];
    await one.clock.advance(MOMENT);
    one.down('s', 'a');
    await one.clock.advance(200);
    expect(shown(s)).toEqual(['a?', 'static:1']);
    expect(shown(t)).toEqual(['b']);
    await one.clock.advance(1_000);
    await vi.waitFor(() => expect(onDisk()).toEqual(['a', 'b']));
    one.up('t', 'b', { status: 'draining' });
    await one.clock.advance(11_000);
    await vi.waitFor(() => expect(onDisk()).toEqual(['a']));
  });

  it('what is unwritten at the end is written then', async () => {
    const { catalog, clock, up } = world();
    up('s', 'a');
    catalog.acquire('s');
    await clock.advance(MOMENT);
    await catalog.close();
    expect(onDisk()).toEqual(['a']);
    expect(clock.pending).toBe(0);
  });

  it('a file that cannot be written costs a line in the log, and nothing else', async () => {
    writeFileSync(join(directory, 'file'), '');
    const one = world({}, { snapshotFile: join(directory, 'file', 'snapshot') });
    one.up('s', 'a');
    const share = one.catalog.acquire('s');
    await pass(one, 2_000);
    await vi.waitFor(() => expect(one.log.of('warn').join()).toMatch(/cannot be written, and is tried again.*ENOTDIR/));
    const lines = one.log.of('warn').length;
    await pass(one, 60_000);
    expect(one.log.of('warn')).toHaveLength(lines);
    expect(shown(share)).toEqual(['a']);
  });
});

describe('when etcd refuses at a start', () => {
  it('the instances of the file serve at once, as suspects, and say where they come from', async () => {
    await leftBehind({ s: 'ab' }, 3 * MINUTE);
    const { discovery, log, clock } = coldStart([1, 2]);
    const list = await discovery.getServiceList('s');
    expect(list.map(({ id, suspect }) => (suspect ? `${id}?` : id))).toEqual(['a?', 'b?']);
    expect((await discovery.getService('s')).suspect).toBe(true);
    expect(discovery.getCachedService('s')?.suspect).toBe(true);
    const { standIn } = discovery.describe('s');
    expect(standIn?.file).toBe(file);
    expect(Math.round((Date.now() - standIn!.asOf.getTime()) / MINUTE)).toBe(3);
    await clock.advance(200);
    expect(log.of('warn')).toEqual([
      `warn etcd has not answered: instances of service "s" come from the snapshot of "${file}", 3 min old. They are ` +
        'used as suspects while they accept connections, until etcd answers',
    ]);
  });

  it('waitForService does not count them', async () => {
    await leftBehind({ s: 'ab' });
    const { discovery, clock } = coldStart([1, 2]);
    await discovery.getServiceList('s');
    const waiting = discovery.waitForService('s', { timeoutMs: 2_000 });
    waiting.catch(() => {});
    await clock.advance(2_000);
    await expect(waiting).rejects.toThrow('service "s" has 0 of 1 instance after 2000 ms; etcd refused at');
  });

  it('a service that is not in the file fails as ever', async () => {
    await leftBehind({ s: 'ab' });
    const { discovery } = coldStart([1, 2]);
    await expect(discovery.getServiceList('t')).rejects.toThrow('ECONNREFUSED');
  });

  it('what does not accept connections goes; once none is left, all are tried again', async () => {
    await leftBehind({ s: 'ab' });
    const one = coldStart([1]);
    const share = one.catalog.acquire('s');
    const { story } = follow(share);
    await share.ready();
    await one.clock.advance(200);
    expect(shown(share)).toEqual(['a?']);
    one.peers.accepting.clear();
    await one.clock.advance(4_000);
    expect(shown(share)).toEqual([]);
    await expect(one.discovery.getService('s')).rejects.toThrow(/no live instance left of the snapshot .*etcd refused/);
    expect(one.log.of('warn').at(-1)).toMatch(/none of the instances of service "s" .* tried again every 5 s/);
    one.peers.accepting.add(`${HOST}:2`);
    await one.clock.advance(5_200);
    expect(shown(share)).toEqual(['b?']);
    expect(story()).toEqual([
      'added a',
      'added b',
      'removed b expired',
      'removed a expired',
      'added a',
      'added b',
      'removed a expired',
    ]);
  });

  it('what can be reached stays for as long as etcd is away, whatever suspectTimeout says', async () => {
    await leftBehind({ s: 'a' });
    const one = coldStart([1], {}, { suspectTimeoutMs: 10_000 });
    const share = one.catalog.acquire('s');
    const { story } = follow(share);
    await share.ready();
    await one.clock.advance(60 * MINUTE);
    expect(shown(share)).toEqual(['a?']);
    expect(story()).toEqual(['added a']);
  });

  it('static addresses are shown beside them', async () => {
    await leftBehind({ s: 'a' });
    const one = coldStart([1], {}, { static: { s: ['static:1'] } });
    const share = one.catalog.acquire('s');
    await share.ready();
    expect(shown(share)).toEqual(['a?', 'static:1']);
  });

  it('the policy of addresses holds for them', async () => {
    await leftBehind({ s: 'ab' });
    const one = coldStart([1, 2], { accept: ({ port }) => port !== 1 || 'not allowed' });
    const list = await one.discovery.getServiceList('s');
    expect(list.map(({ id }) => id)).toEqual(['b']);
    expect(one.log.of('warn')[0]).toMatch(/1 of its entries cannot be read or are not allowed, and are left out/);
  });
});

describe('when etcd is silent at a start', () => {
  it('the instances of the file serve after a second', async () => {
    await leftBehind({ s: 'a' });
    const one = world();
    one.peers.accepting.add(`${HOST}:1`);
    one.etcd.frozen = true;
    const share = one.catalog.acquire('s');
    await delay(50);
    await one.clock.advance(990);
    expect(share.snapshot).toBeUndefined();
    await one.clock.advance(20);
    expect(shown(share)).toEqual(['a?']);
  });
});

describe('when etcd answers', () => {
  const answered = async (change: (one: World) => void) => {
    await leftBehind({ s: 'abcd' });
    const one = coldStart([1, 2, 3, 4]);
    const share = one.catalog.acquire('s');
    await share.ready();
    const { story } = follow(share);
    change(one);
    one.etcd.comeBack();
    await pass(one, RESYNC);
    return { ...one, share, story };
  };

  it('its first list replaces what the file said, be it less, more or other', async () => {
    const { share, story, log } = await answered(({ up }) => {
      up('s', 'a', { port: 1 });
      up('s', 'b', { port: 99 });
      up('s', 'new', { port: 50 });
    });
    expect(shown(share)).toEqual(['a', 'b', 'new']);
    expect(share.snapshot?.standIn).toBeUndefined();
    expect(share.health.state).toBe('live');
    expect(story().toSorted()).toEqual([
      'added new',
      'removed c expired',
      'removed d expired',
      'updated a recovered',
      'updated b recovered',
    ]);
    expect(log.of('log')).toEqual([
      'log etcd has answered: its list of service "s" has taken the place of the snapshot',
    ]);
  });

  it('with nothing, the service is empty: what this process never saw in etcd is not protected from it', async () => {
    const { share, peers, catalog } = await answered(() => {});
    expect(shown(share)).toEqual([]);
    expect(peers.listenerCount).toBe(0);
    await catalog.close();
    expect(onDisk()).toEqual([]);
  });

  it('from then on the protection of the last known state counts what etcd has shown', async () => {
    const one = await answered(({ up }) => {
      up('s', 'a', { port: 1 });
      up('s', 'b', { port: 2 });
    });
    one.down('s', 'a');
    await one.clock.advance(200);
    expect(shown(one.share)).toEqual(['b']);
    one.down('s', 'b');
    await one.clock.advance(200);
    expect(shown(one.share)).toEqual(['b?']);
  });

  it('before the file is read, the file is not looked at', async () => {
    await leftBehind({ s: 'ab' });
    const one = world();
    one.up('s', 'new');
    const share = one.catalog.acquire('s');
    const { story } = follow(share);
    await one.clock.advance(MOMENT);
    await pass(one, 2_000);
    expect(story()).toEqual(['added new']);
    await vi.waitFor(() => expect(onDisk()).toEqual(['new']));
  });
});

describe('the namespace', () => {
  it('is that of the file until etcd has listed it; what etcd does not know is gone then, from the file too', async () => {
    await leftBehind({ s: 'a', t: 'b' });
    const one = coldStart([1, 2]);
    const all = await one.discovery.getAllServices();
    expect(Object.entries(all).map(([name, list]) => [name, list.map(({ id }) => id)])).toEqual([
      ['s', ['a']],
      ['t', ['b']],
    ]);
    await one.discovery.startWatch();
    expect(one.discovery.getCachedService('t')?.id).toBe('b');
    await one.clock.advance(200);
    expect(one.log.of('warn')).toHaveLength(1);
    expect(one.log.of('warn')[0]).toContain('instances of 2 services: "s", "t" come from the snapshot');
    one.up('t', 'c', { port: 3 });
    one.etcd.comeBack();
    await pass(one, RESYNC);
    const after = await one.discovery.getAllServices();
    expect(Object.entries(after).map(([name, list]) => [name, list.map(({ id }) => id)])).toEqual([['t', ['c']]]);
    await pass(one, 11_000);
    await vi.waitFor(() => expect(onDisk()).toEqual(['c']));
  });

  it('that etcd lists at once takes what it does not hold out of the file', async () => {
    await leftBehind({ s: 'a', t: 'b' });
    const one = world();
    one.up('s', 'a', { port: 1 });
    // The file is read by then: a list that comes first needs no word of what is in the file.
    await delay(50);
    await one.settled(one.discovery.startWatch());
    await one.catalog.close();
    expect(onDisk()).toEqual(['a']);
  });

  it('that etcd is silent about is shown after a second', async () => {
    await leftBehind({ s: 'a' });
    const one = world();
    one.peers.accepting.add(`${HOST}:1`);
    one.etcd.frozen = true;
    const listing = one.discovery.getAllServices();
    await delay(50);
    await one.clock.advance(1_010);
    expect(Object.keys(await listing)).toEqual(['s']);
  });

  it('without a file fails as ever', async () => {
    const one = coldStart([]);
    await expect(one.discovery.getAllServices()).rejects.toThrow('ECONNREFUSED');
  });
});

describe('services that a process does not ask for', () => {
  it('are carried over with their age, for a week', async () => {
    await leftBehind({ s: 'a', t: 'b' });
    vi.setSystemTime(Date.now() + 6 * DAY);
    await leftBehind({ s: 'a' });
    expect(onDisk().toSorted()).toEqual(['a', 'b']);
    const { discovery } = coldStart([1, 2]);
    await discovery.getServiceList('t');
    expect(ageOf(discovery.describe('t').standIn!.asOf)).toBe('6 d old');
    vi.setSystemTime(Date.now() + 2 * DAY);
    await leftBehind({ s: 'a' });
    expect(onDisk()).toEqual(['a']);
  });

  it('are not used once they are too old, though they were not when the file was read', async () => {
    await leftBehind({ t: 'b' });
    vi.setSystemTime(Date.now() + 6 * DAY);
    const one = coldStart([2]);
    await pass(one, 100);
    vi.setSystemTime(Date.now() + 2 * DAY);
    const share = one.catalog.acquire('t');
    await pass(one, 5_000);
    expect(share.snapshot).toBeUndefined();
    await one.catalog.close();
  });

  it('a process that never reached etcd leaves the file as it is', async () => {
    await leftBehind({ s: 'ab' });
    const before = readFileSync(file, 'utf8');
    const one = coldStart([]);
    await one.discovery.getServiceList('s');
    await pass(one, 20_000);
    await one.catalog.close();
    expect(readFileSync(file, 'utf8')).toBe(before);
  });
});

describe('a file that cannot be used', () => {
  const refused = async (deps: Partial<EtcdCatalogDeps> = {}) => {
    const one = coldStart([1], deps);
    await expect(one.discovery.getServiceList('s')).rejects.toThrow('ECONNREFUSED');
    return one;
  };

  it('too old, it costs a line', async () => {
    await leftBehind({ s: 'a' }, 8 * DAY);
    const { log } = await refused();
    expect(log.of('warn')).toEqual([
      `warn discovery.snapshotFile "${file}": 1 of its services are too old to be used (up to 8 d old, more than 7 d)`,
    ]);
  });

  it('truncated, it costs a line and is replaced', async () => {
    await leftBehind({ s: 'a' });
    writeFileSync(file, readFileSync(file).subarray(0, 200));
    const one = await refused();
    expect(one.log.of('warn')[0]).toMatch(
      /is not used: its checksum does not match.*written anew when etcd has answered/,
    );
    one.up('s', 'b');
    one.etcd.comeBack();
    await pass(one, 3_000);
    await vi.waitFor(() => expect(onDisk()).toEqual(['b']));
  });

  it('of another etcd, it is not used and replaced', async () => {
    await leftBehind({ s: 'a' });
    const { log } = await refused({ endpoints: ['other:2379'] });
    expect(log.of('warn')[0]).toMatch(/is not used: it is of another etcd \("etcd:2379"\); it is written anew/);
  });

  it.each<[string, Partial<EtcdCatalogDeps>, string | undefined, RegExp]>([
    ['of another namespace', { namespace: '/other' }, undefined, /it is of namespace "\/services", not of "\/other"/],
    ['that is no snapshot', {}, 'name: value\n', /it is something else than a snapshot/],
  ])('%s, it is neither used nor written', async (_, deps, text, reason) => {
    await leftBehind({ s: 'a' });
    if (text !== undefined) writeFileSync(file, text);
    const before = readFileSync(file, 'utf8');
    const one = await refused(deps);
    expect(one.log.of('warn')[0]).toMatch(reason);
    expect(one.log.of('warn')[0]).toContain('it is not written either: remove it or give each application');
    one.etcd.comeBack();
    one.etcd.put(`${deps.namespace ?? '/services'}/s/x`, '10.0.0.7:1');
    await pass(one, 20_000);
    await one.catalog.close();
    expect(readFileSync(file, 'utf8')).toBe(before);
  });
});
