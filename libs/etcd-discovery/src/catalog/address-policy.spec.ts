import { describe, expect, it } from 'vitest';
import { staticInstances } from '../instance/static-instance.js';
import { addressPolicy } from './address-policy.js';

const REMOTE_ETCD = ['10.0.0.1:2379'];
const judge = (address: string, ...args: Parameters<typeof addressPolicy>) =>
  addressPolicy(...args)(staticInstances('users', [address])[0]!);

describe('addressPolicy', () => {
  it('takes any unicast address without lists', () => {
    expect(judge('10.1.2.3:50051', {}, REMOTE_ETCD)).toBe(true);
    expect(judge('users.internal:50051', {}, REMOTE_ETCD)).toBe(true);
  });

  it.each(['127.0.0.1:1', '[::1]:1', 'localhost:1', '127.9.9.9:1', '[::ffff:127.0.0.1]:1'])(
    'takes the loopback address %s only when allowed or when etcd is on loopback',
    (address) => {
      expect(judge(address, {}, REMOTE_ETCD)).toMatch(/allowLoopback/);
      expect(judge(address, { allowLoopback: true }, REMOTE_ETCD)).toBe(true);
      expect(judge(address, {}, ['localhost:2379'])).toBe(true);
      expect(judge(address, { allowLoopback: false }, ['localhost:2379'])).toMatch(/allowLoopback/);
    },
  );

  it.each([
    ['10.255.0.1:1', true],
    ['11.0.0.1:1', false],
    ['[fd00::7]:1', true],
    ['[fe00::7]:1', false],
    ['[::ffff:10.0.0.7]:1', true],
    ['[::ffff:11.0.0.7]:1', false],
    ['users.internal:1', false],
  ])('judges %s by allowedCidrs', (address, allowed) => {
    const verdict = judge(address, { allowedCidrs: ['10.0.0.0/8', 'fd00::/8'] }, REMOTE_ETCD);
    if (allowed) expect(verdict).toBe(true);
    else expect(verdict).toMatch(/allowedCidrs/);
  });

  it('judges by allowedPorts, inclusive', () => {
    const options = {
      allowedPorts: [
        { from: 50_000, to: 50_100 },
        { from: 80, to: 80 },
      ],
    };
    for (const port of [50_000, 50_100, 80]) expect(judge(`10.0.0.1:${port}`, options, REMOTE_ETCD)).toBe(true);
    for (const port of [49_999, 50_101, 81])
      expect(judge(`10.0.0.1:${port}`, options, REMOTE_ETCD)).toMatch(/allowedPorts/);
  });
});
