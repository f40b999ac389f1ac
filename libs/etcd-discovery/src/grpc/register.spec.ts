import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, experimental } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { findDuplicateGrpcJs, httpProxyWarning } from './register.js';

describe('importing the library', () => {
  it('teaches grpc-js the scheme and the policy', () => {
    expect(experimental.isLoadBalancerNameRegistered('etcd_discovery')).toBe(true);
    new Client('etcd:///some-service', credentials.createInsecure()).close();
    new Client('etcd://billing/some-service', credentials.createInsecure()).close();
    expect(() => new Client('etcd:///../x', credentials.createInsecure())).toThrow('not a valid service name');
  });
});

describe('copies of grpc-js', () => {
  it('one is no news', () => expect(findDuplicateGrpcJs()).toHaveLength(1));

  it('two are named with their paths; the driver´s private one does not count', () => {
    const root = mkdtempSync(join(tmpdir(), 'grpc-js-copies-'));
    const plant = (...under: string[]): string => {
      const directory = join(root, ...under, 'node_modules', '@grpc', 'grpc-js', 'build', 'src');
      mkdirSync(directory, { recursive: true });
      const file = join(directory, 'index.js');
      writeFileSync(file, '');
      return file;
    };
    const foreign = plant('app');
    const driver = plant('app', 'node_modules', 'etcd3');
    const require = createRequire(import.meta.url);
    try {
      require(foreign);
      require(driver);
      expect(findDuplicateGrpcJs()).toEqual([require.resolve('@grpc/grpc-js'), foreign]);
    } finally {
      delete require.cache[foreign];
      delete require.cache[driver];
      rmSync(root, { recursive: true });
    }
  });
});

describe('an HTTP proxy in the environment', () => {
  it('is warned of, with the remedy', () => {
    expect(httpProxyWarning({})).toBeUndefined();
    expect(httpProxyWarning({ http_proxy: 'http://proxy:3128' })).toMatch(
      /http_proxy is set: .*'grpc.enable_http_proxy': 0/,
    );
  });
});
