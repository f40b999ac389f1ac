import { describe, expect, it } from 'vitest';
import { type BalancerView, BalancerDirectory } from './balancer-directory.js';

const view: BalancerView = { policy: { policy: 'random' }, state: 'ready', instances: [] };

describe('the directory of live balancers', () => {
  it('shows the balancers of a service until they leave', () => {
    const directory = new BalancerDirectory();
    const leave = directory.add({ connection: 'default', service: 'a', view: () => view, onPolicyChange: () => {} });
    directory.add({ connection: 'default', service: 'b', view: () => view, onPolicyChange: () => {} });
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
      directory.add({ connection: 'default', service, view: () => view, onPolicyChange: () => told.push(service) });
    }
    directory.setLoadBalancing('default', 'a', 'random');
    expect(told).toEqual(['a']);
    expect(directory.policyOf('default', 'a')).toEqual({ policy: 'random' });
    directory.setLoadBalancing('default', 'a', undefined);
    expect(directory.policyOf('default', 'a')).toBeUndefined();
    expect(() => directory.setLoadBalancing('default', 'a', 'rnd')).toThrow('unknown load-balancing policy "rnd"');
    expect(told).toEqual(['a', 'a']);
  });
});
