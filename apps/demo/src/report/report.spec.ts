import { describe, expect, it } from 'vitest';
import { DemoModel } from '../model/demo-model.js';
import { PhaseRecord } from '../model/phase-record.js';
import { clock, frame } from './frame.js';
import { LiveView } from './live-view.js';
import { phaseTable } from './phase-table.js';
import { PlainView } from './plain-view.js';
import { formatMs, textTable } from './text-table.js';

const filled = () => {
  const model = new DemoModel(() => 61_234);
  model.etcdDescription = 'etcd 3.4.23';
  model.etcdctl = 'etcdctl get /services/ --prefix';
  model.plannedPhases = 5;
  model.begin('steady', 'steady load');
  model.stored = [
    {
      id: 'host-a',
      address: '127.0.0.1:5001',
      zone: 'a',
      weight: 10,
      pid: 77,
      status: 'up',
      lease: '694d',
      leaseSecondsLeft: 8,
    },
    {
      id: 'host-b',
      address: '127.0.0.1:5002',
      zone: 'b',
      weight: 20,
      pid: undefined,
      status: 'draining',
      lease: '694e',
      leaseSecondsLeft: undefined,
    },
  ];
  model.addReport('steady', {
    calls: 100,
    failed: 1,
    latency: [[60, 100]],
    instances: { 'host-a': { calls: 100, failed: 1 } },
    methods: {},
    errors: { 'Send: UNAVAILABLE: gone': 1 },
    watches: { opened: 0, seen: 0 },
  });
  return model;
};

describe('a table', () => {
  it('is as wide as its values', () => {
    expect(
      textTable(
        [
          { title: 'n', align: 'left' },
          { title: 'count', align: 'right' },
        ],
        [
          ['long name', '1'],
          ['x', '22'],
        ],
      ),
    ).toEqual(['n          count', '---------  -----', 'long name      1', 'x             22']);
  });

  it('has one line per phase', () => {
    const none = new PhaseRecord('etcd', 'etcd restarts');
    const changed = new PhaseRecord('join', 'an instance joins');
    changed.changes = [{ kind: 'added', pid: 1, tookMs: 42 }];
    const missed = new PhaseRecord('kill', 'kill -9 of one');
    missed.changes = [{ kind: 'removed', pid: 1, tookMs: undefined }];
    const lines = phaseTable([none, changed, missed]);
    expect(lines.map((line) => line.split(/ {2,}/).at(-1))).toEqual([
      'all clients knew after',
      expect.stringMatching(/^-+$/),
      '-',
      '42 ms',
      'never',
    ]);
  });

  it('shows times in the unit that fits', () => {
    expect([0.25, 9.94, 12.4, 9_999, 10_400, undefined].map(formatMs)).toEqual([
      '0.3 ms',
      '9.9 ms',
      '12 ms',
      '9999 ms',
      '10.4 s',
      '-',
    ]);
    expect([0, 59_940, 61_234].map(clock)).toEqual(['0:00.0', '0:59.9', '1:01.2']);
  });
});

describe('the live view', () => {
  it('shows what is in etcd, calls and errors of each instance, the latest events, and what failed calls said', () => {
    const text = frame(filled(), 3, 120).join('\n');
    for (const expected of [
      /look +etcdctl get \/services\/ --prefix/,
      /phase +1 of 5, steady load/,
      /host-a +50 +1 +127\.0\.0\.1:5001 +a +10 +694d +8 s +77/,
      /host-b \(draining\) +0 +0 +127\.0\.0\.1:5002 +b +20 +694e +- +-/,
      /1:01\.2 {2}phase "steady load"/,
      /steady load: 1 × Send: UNAVAILABLE: gone/,
    ]) {
      expect(text).toMatch(expected);
    }
  });

  it('fits what matters into 80 columns: all but ttl and pid, and a command that can be copied', () => {
    const model = filled();
    model.etcdctl = 'ETCDCTL_API=3 etcdctl --endpoints=127.0.0.1:44747 get /services/ --prefix';
    model.stored = [
      {
        id: 'vm-33xm5s3wpoze',
        address: '127.0.0.1:46133',
        zone: 'c',
        weight: 10,
        pid: 1735,
        status: 'up',
        lease: '3525a205be226a09',
        leaseSecondsLeft: 8,
      },
    ];
    const shown = frame(model, 3, 80).map((line) => line.slice(0, 79));
    expect(shown.find((line) => line.startsWith('instance'))).toContain('lease');
    expect(shown.find((line) => line.startsWith('vm-33'))).toContain('3525a205be226a09');
    const look = shown.slice(
      1,
      shown.findIndex((line) => line.startsWith('phase')),
    );
    expect(look.join('\n').replace('look', '').replace(/\\\n/g, '').replace(/ +/g, ' ').trim()).toBe(model.etcdctl);
  });

  it('says so while etcd is away', () => {
    const model = filled();
    model.stored = undefined;
    expect(frame(model, 3, 120).join('\n')).toContain('etcd does not answer; calls go on');
  });

  it('redraws in place, within the window, whatever its size becomes', () => {
    const written: string[] = [];
    const terminal = { columns: 40, rows: 12, write: (text: string) => written.push(text) };
    const view = new LiveView(filled(), terminal);
    view.draw();
    const first = (written[0] as string).replace('\x1b[0J', '').split('\n').slice(0, -1);
    expect(first).toHaveLength(11);
    expect(Math.max(...first.map((line) => line.length))).toBeLessThan(40);
    // Half the width: each full line takes two rows now.
    terminal.columns = 20;
    view.draw();
    const rows = first.reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / 20)), 0);
    expect(written[1]?.startsWith(`\x1b[${rows}A\r\x1b[0J`)).toBe(true);
  });
});

describe('the plain view', () => {
  it('prints events as lines without control characters', () => {
    const lines: string[] = [];
    const model = new DemoModel(() => 1_000);
    const view = new PlainView(model, (line) => lines.push(line));
    model.event('server 1 starts');
    view.stop();
    expect(lines).toEqual(['0:01.0  server 1 starts']);
  });
});
