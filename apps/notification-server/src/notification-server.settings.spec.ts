import { ConfigService } from '@nestjs/config';
import { describe, expect, it } from 'vitest';
import { discoveryOptions, listenAddress, storeCapacity } from './notification-server.settings.js';

const config = (patch: object = {}) =>
  new ConfigService({
    'notification-server': { name: 'notification-server', addr: '0.0.0.0:8080', zone: 'a', metadata: { team: 'x' } },
    etcd: { endpoints: ['localhost:2379'] },
    ...patch,
  });

describe('the options of the discovery module', () => {
  it('are those of the file, and say which process it is', () => {
    const { etcd, registration, ...rest } = discoveryOptions(config(), {});
    expect(rest).toEqual({});
    expect(etcd).toEqual({ endpoints: ['localhost:2379'] });
    expect(registration).toMatchObject({
      name: 'notification-server',
      zone: 'a',
      metadata: { team: 'x', pid: String(process.pid) },
    });
    expect(registration).not.toHaveProperty('weight');
  });

  it('take zone, weight and namespace from the environment', () => {
    const env = { NOTIFICATION_SERVER_ZONE: 'b', NOTIFICATION_SERVER_WEIGHT: '30', ETCD_NAMESPACE: '/run-1' };
    const options = discoveryOptions(config(), env);
    expect(options).toMatchObject({ namespace: '/run-1', registration: { zone: 'b', weight: 30 } });
  });
});

it('listens where the file says', () => {
  expect(listenAddress(config())).toBe('0.0.0.0:8080');
});

it('bounds the store by a number that can be one', () => {
  expect(storeCapacity(config())).toBe(10_000);
  expect(storeCapacity(config({ store: { capacity: 5 } }))).toBe(5);
  for (const capacity of [0, '5', -1, 1.5]) {
    expect(() => storeCapacity(config({ store: { capacity } }))).toThrow(/^store\.capacity: expected an integer/);
  }
});
