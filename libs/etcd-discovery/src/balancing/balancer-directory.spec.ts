import { describe, expect, it } from 'vitest';
import { type BalancerView, BalancerDirectory, type ConnectionState, type LiveBalancer } from './balancer-directory.js';

const view: BalancerView = { policy: { policy: 'random' }, state: 'ready', instances: [] };

const balancer = (service: string, patch: Partial<LiveBalancer> = {}): LiveBalancer => ({
  connection: 'default',
  service,
  view: () => view,
  stateOf: () => undefined,
  onPolicyChange: () => {},
  ...patch,
});

describe('the directory of live balancers', () => {
  it('shows the balancers of a service until they leave', () => {
    const directory = new BalancerDirectory();
    const leave = directory.add(balancer('a'));
    directory.add(balancer('b'));
    expect(directory.describe('default', 'a')).toEqual([view]);
    expect(directory.describe('', 'a')).toEqual([view]);
    expect(directory.describe('other', 'a')).toEqual([]);
    leave();
    expect(directory.describe('default', 'a')).toEqual([]);
  });

  it('tells the balancers of one service of its new policy, and those to come', () => {
    const directory = new BalancerDirectory();
    const told: string[] = [];
    for (const service of ['a', 'b']) {
      directory.add(balancer(service, { onPolicyChange: () => told.push(service) }));
    }
    directory.setLoadBalancing('default', 'a', 'random');
    expect(told).toEqual(['a']);
    expect(directory.policyOf('default', 'a')).toEqual({ policy: 'random' });
    directory.setLoadBalancing('default', 'a', undefined);
    expect(directory.policyOf('default', 'a')).toBeUndefined();
    expect(() => directory.setLoadBalancing('default', 'a', 'rnd')).toThrow('unknown load-balancing policy "rnd"');
    expect(told).toEqual(['a', 'a']);
  });

  it('says of an address the best that any channel to the service says', () => {
    const directory = new BalancerDirectory();
    const states = new Map<string, ConnectionState>([['10.0.0.1:1', 'failed']]);
    const leave = directory.add(balancer('a', { stateOf: (address) => states.get(address) }));
    expect(directory.stateOf('a', '10.0.0.1:1')).toBe('failed');
    expect(directory.stateOf('b', '10.0.0.1:1')).toBeUndefined();
    expect(directory.stateOf('a', '10.0.0.2:1')).toBeUndefined();
    for (const state of ['ready', 'idle'] as const)
      directory.add(balancer('a', { connection: state, stateOf: () => state }));
    expect(directory.stateOf('a', '10.0.0.1:1')).toBe('ready');
    leave();
    expect(directory.stateOf('a', '10.0.0.1:1')).toBe('ready');
  });

  it('tells of changed connections until the listener is removed', () => {
    const directory = new BalancerDirectory();
    const told: string[] = [];
    const stop = directory.onConnectionChange((...change) => told.push(change.join(' ')));
    directory.connectionChanged('a', '10.0.0.1:1');
    stop();
    directory.connectionChanged('a', '10.0.0.1:1');
    expect(told).toEqual(['a 10.0.0.1:1']);
  });
});
