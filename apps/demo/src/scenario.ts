import { setTimeout as delay } from 'node:timers/promises';
import type { DemoEtcd } from './etcd/demo-etcd.js';
import type { ChangeTracker } from './model/change-tracker.js';
import type { DemoModel } from './model/demo-model.js';
import type { ServerFleet } from './processes/server-fleet.js';

/** What the phases act on. */
export interface Stage {
  readonly model: DemoModel;
  readonly fleet: ServerFleet;
  readonly changes: ChangeTracker;
  readonly etcd: DemoEtcd;
  readonly signal: AbortSignal;
}

export interface Phase {
  readonly name: string;
  readonly title: string;
  play(stage: Stage): Promise<void>;
}

/** The default TTL of a lease is 10 s; a killed instance is gone from every client 1 s later, and a machine may be slow. */
const SEEN_WITHIN_MS = 20_000;
const ETCD_DOWN_MS = 2_000;

const steady: Phase = { name: 'steady', title: 'steady load', play: () => Promise.resolve() };

const join: Phase = {
  name: 'join',
  title: 'an instance joins',
  async play({ fleet, changes, signal }) {
    changes.expect('added', fleet.add().child.pid);
    await changes.settled(SEEN_WITHIN_MS, signal);
  },
};

const rolling: Phase = {
  name: 'rolling',
  title: 'rolling restart of all',
  async play({ fleet, changes, signal }) {
    for (const server of fleet.all) {
      signal.throwIfAborted();
      changes.expect('removed', server.child.pid, Date.now());
      await fleet.stop(server);
      changes.expect('added', fleet.replace(server).child.pid);
      // The next one stops only when every client has the new one.
      if (!(await changes.settled(SEEN_WITHIN_MS, signal))) return;
    }
  },
};

const kill: Phase = {
  name: 'kill',
  title: 'kill -9 of one',
  async play({ fleet, changes, signal }) {
    const [victim] = fleet.all;
    if (victim === undefined) return;
    changes.expect('removed', victim.child.pid, Date.now());
    fleet.kill(victim);
    await changes.settled(SEEN_WITHIN_MS, signal);
  },
};

const etcdRestart: Phase = {
  name: 'etcd',
  title: 'etcd restarts',
  async play({ etcd, model, signal }) {
    model.event(`etcd stops for ${ETCD_DOWN_MS / 1_000} s`);
    await etcd.restart?.(ETCD_DOWN_MS);
    signal.throwIfAborted();
    model.event('etcd is back');
  },
};

/** A day in production. Nobody restarts an etcd that belongs to somebody else. */
export function phasesFor(etcd: Pick<DemoEtcd, 'restart'>): readonly Phase[] {
  return [steady, join, rolling, kill, ...(etcd.restart === undefined ? [] : [etcdRestart])];
}

/** Plays one phase: its action, then the rest of the time it lasts at least. */
export async function playPhase(phase: Phase, stage: Stage, atLeastMs: number): Promise<void> {
  const startedAt = performance.now();
  const record = stage.model.begin(phase.name, phase.title);
  try {
    await phase.play(stage);
    await delay(Math.max(0, atLeastMs - (performance.now() - startedAt)), undefined, { signal: stage.signal });
  } finally {
    record.seconds = (performance.now() - startedAt) / 1_000;
    // What a run that was interrupted did not wait for did not fail to come.
    record.changes = stage.changes.take().filter(({ tookMs }) => tookMs !== undefined || !stage.signal.aborted);
  }
}
