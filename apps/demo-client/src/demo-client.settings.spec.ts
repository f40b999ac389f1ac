import { ConfigService } from '@nestjs/config';
import { describe, expect, it } from 'vitest';
import { demoClientSettings, discoveryOptions } from './demo-client.settings.js';

const config = (patch: object = {}) => new ConfigService({ etcd: { endpoints: 'localhost:2379' }, ...patch });

describe('settings of the demo client', () => {
  it('have defaults', () => {
    expect(demoClientSettings(config(), {})).toEqual({ callsPerSecond: 50, output: 'text' });
  });

  it('come from the file, and the environment wins', () => {
    const file = config({ 'demo-client': { rps: 20, output: 'json' } });
    expect(demoClientSettings(file, {})).toEqual({ callsPerSecond: 20, output: 'json' });
    expect(demoClientSettings(file, { DEMO_CLIENT_RPS: '0.5', DEMO_CLIENT_OUTPUT: 'text' })).toEqual({
      callsPerSecond: 0.5,
      output: 'text',
    });
  });

  it.each(['many', '-1', '10001', '0x', 'Infinity'])('refuse %s calls per second', (rps) => {
    expect(() => demoClientSettings(config(), { DEMO_CLIENT_RPS: rps })).toThrow(/DEMO_CLIENT_RPS.*expected.*got/);
  });

  it('refuse an unknown output', () => {
    expect(() => demoClientSettings(config({ 'demo-client': { output: 'xml' } }), {})).toThrow(
      /expected text or json, got "xml"/,
    );
  });

  it('take the namespace of a run', () => {
    expect(discoveryOptions(config(), {})).toEqual({ etcd: { endpoints: 'localhost:2379' } });
    expect(discoveryOptions(config(), { ETCD_NAMESPACE: '/run' }).namespace).toBe('/run');
  });
});
