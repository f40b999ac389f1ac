import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.js';
import { silentLog } from '../utils/log.js';
import { ProbingGate } from './connectivity-gate.js';
import { EtcdRequestError } from './etcd-status.js';
import { AttemptFailure, type AttemptStage, type Etcd3Connection } from './etcd3-connection.js';
import { EtcdRole } from './etcd3-role.js';

describe('a role that fails to reach its only endpoint', () => {
  let gate: ProbingGate;
  let stage: AttemptStage;
  let lately: boolean;
  let dials: number;
  let role: EtcdRole;

  beforeEach(() => {
    const clock = new FakeClock();
    gate = new ProbingGate({ clock, random: () => 0.5, log: silentLog, probe: () => new Promise(() => undefined) });
    lately = false;
    dials = 0;
    const connection = () => ({
      endpoint: 'a',
      open: () => new Promise<void>(() => undefined),
      unary: () => Promise.reject(new AttemptFailure(stage, new EtcdRequestError('unreachable', 'no luck'))),
      retire: (drained: () => void) => drained(),
      close: () => undefined,
    });
    role = new EtcdRole({
      endpoints: ['a'],
      first: 0,
      connect: () => {
        dials++;
        return connection() as unknown as Etcd3Connection;
      },
      gate,
      clock,
      reached: () => undefined,
      answeredLately: (endpoint) => endpoint === 'a' && lately,
    });
  });

  const renew = () =>
    expect(
      role.request(() => Promise.resolve(), { operation: 'lease renewal', timeoutMs: 2_000, retry: 'always' }),
    ).rejects.toThrow('no luck');

  it('closes the gate while it is still dialling, when the endpoint answers nobody', async () => {
    stage = 'dialing';
    await renew();
    expect(gate.state.open).toBe(false);
  });

  it('waits on for a slow dial, the same one, while the endpoint answers the other roles', async () => {
    stage = 'dialing';
    lately = true;
    await renew();
    await renew();
    expect(gate.state.open).toBe(true);
    expect(dials).toBe(1);
  });

  it.each(['unsent', 'sent'] as const)('closes the gate all the same when it fails in the end (%s)', async (last) => {
    lately = true;
    stage = last;
    await renew();
    expect(gate.state.open).toBe(false);
  });
});
