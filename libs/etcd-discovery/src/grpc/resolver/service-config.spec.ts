import { describe, expect, it } from 'vitest';
import { CLIENT_DEFAULTS } from '../../options/defaults.js';
import { namesMethod } from './retryable-methods.js';
import { buildServiceConfig, readUserServiceConfig } from './service-config.js';

const retryPolicy = {
  maxAttempts: 4,
  initialBackoff: '0.02s',
  maxBackoff: '0.5s',
  backoffMultiplier: 2,
  retryableStatusCodes: ['UNAVAILABLE'],
};
const methods = [
  { path: 'echo.v1.Echo/Get', idempotent: true },
  { path: 'echo.v1.Echo/Add', idempotent: false },
];

describe('our service config', () => {
  it('retries what the proto declares idempotent, and what is named', () => {
    const plain = buildServiceConfig(CLIENT_DEFAULTS, {}, { overrides: {}, methods });
    expect(plain.config.methodConfig).toEqual([{ name: [{ service: 'echo.v1.Echo', method: 'Get' }], retryPolicy }]);
    const named = { ...CLIENT_DEFAULTS, retryableMethods: ['Echo/Add'] };
    expect(buildServiceConfig(named, {}, { overrides: {}, methods }).config.methodConfig).toHaveLength(2);
  });

  it('retries nothing with retry: false or fewer than two attempts', () => {
    for (const retry of [false, { ...CLIENT_DEFAULTS.retry, maxAttempts: 1 }] as const) {
      const built = buildServiceConfig({ ...CLIENT_DEFAULTS, retry } as never, {}, { overrides: {}, methods });
      expect(built.config.methodConfig).toEqual([]);
    }
    expect(buildServiceConfig({ ...CLIENT_DEFAULTS, retry: false }).config.retryThrottling).toBeUndefined();
  });

  it('keeps what the user says of a method and adds the retry', () => {
    const user = readUserServiceConfig(
      JSON.stringify({ methodConfig: [{ name: [{ service: 'echo.v1.Echo' }], timeout: '0.5s' }] }),
    );
    const { config } = buildServiceConfig(CLIENT_DEFAULTS, user, { overrides: {}, methods });
    expect(config.methodConfig[0]).toEqual({
      name: [{ service: 'echo.v1.Echo', method: 'Get' }],
      timeout: { seconds: 0, nanos: 500_000_000 },
      retryPolicy,
    });
  });

  it('leaves the user´s own retry, hedging, throttling and balancing alone', () => {
    const own = { name: [{ service: 'echo.v1.Echo', method: 'Get' }], retryPolicy: { ...retryPolicy, maxAttempts: 2 } };
    const user = {
      methodConfig: [own],
      retryThrottling: { maxTokens: 5, tokenRatio: 1 },
      loadBalancingConfig: [{ pick_first: {} }],
    };
    const built = buildServiceConfig(CLIENT_DEFAULTS, user, { overrides: {}, methods });
    expect(built.config.methodConfig[0]).toEqual(own);
    expect(built.config.retryThrottling).toEqual({ maxTokens: 5, tokenRatio: 1 });
    expect(built.config.loadBalancingConfig).toEqual([{ pick_first: {} }]);
    expect(built.oursBalances).toBe(false);
    const hedging = { name: own.name, hedgingPolicy: { maxAttempts: 2 } };
    const hedged = buildServiceConfig(CLIENT_DEFAULTS, { methodConfig: [hedging] }, { overrides: {}, methods });
    expect(hedged.config.methodConfig[0]).toEqual(hedging);
  });
});

describe('retryableMethods', () => {
  it.each([
    ['echo.v1.Echo/Get', '/echo.v1.Echo/Get', true],
    ['Echo/Get', '/echo.v1.Echo/Get', true],
    ['Echo/*', 'echo.v1.Echo/Get', true],
    ['echo.v1.Echo/*', 'echo.v1.Echo/Get', true],
    ['Echo/Get', '/echo.v1.Echo/Add', false],
    ['cho/Get', '/echo.v1.Echo/Get', false],
    ['v1.Echo/Get', '/echo.v1.Echo/Get', false],
    ['Echo', '/echo.v1.Echo/Get', false],
  ])('%s names %s: %s', (entry, path, expected) => expect(namesMethod(entry, path)).toBe(expected));
});
