import { describe, expect, it } from 'vitest';
import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import { EtcdRequestError } from './etcd-status.js';
import { toEtcdRequestError } from './etcd3-status.js';

const context = { operation: 'range', endpoint: '10.0.0.1:2379' };
const of = (code: number, details: string) => toEtcdRequestError({ code, details }, context);

describe('what a failure means', () => {
  it.each([
    [
      14,
      'No connection established. Last error: Error: connect ECONNREFUSED 10.0.0.1:2379. Resolution note: ',
      'unreachable',
    ],
    [14, 'Connection dropped', 'unreachable'],
    [14, 'Name resolution failed for target dns:nowhere:2379', 'unreachable'],
    [14, 'etcdserver: request timed out, possibly due to previous leader failure', 'unreachable'],
    [14, 'etcdserver: no leader', 'unreachable'],
    [14, 'etcdserver: leader changed', 'unreachable'],
    [4, 'Deadline exceeded after 2.001s', 'unreachable'],
    [13, 'Received RST_STREAM with code 2 (Internal server error)', 'unreachable'],
    [8, 'Bandwidth exhausted or memory limit exceeded', 'unreachable'],
    [1, 'Received RST_STREAM with code 8', 'unreachable'],
    [3, 'etcdserver: authentication failed, invalid user ID or password', 'auth'],
    [3, 'etcdserver: user name is empty', 'auth'],
    [16, 'etcdserver: invalid auth token', 'auth'],
    [3, 'etcdserver: revision of auth store is old', 'auth'],
    [2, 'auth: revision in header is old', 'auth'],
    [7, 'etcdserver: permission denied', 'permission-denied'],
    [5, 'etcdserver: requested lease not found', 'lease-not-found'],
    [11, 'etcdserver: mvcc: required revision has been compacted', 'compacted'],
    [8, 'etcdserver: mvcc: database space exceeded', 'no-space'],
    [14, 'No connection established. Last error: Error: unable to verify the first certificate', 'tls'],
    [14, "No connection established. Last error: Hostname/IP does not match certificate's altnames", 'tls'],
    [14, 'No connection established. Last error: Error: certificate has expired', 'tls'],
    [14, 'No connection established. Last error: write EPROTO 0:error:0A00010B:SSL routines', 'tls'],
    [8, 'etcdserver: too many requests', 'refused'],
    [8, 'Received message larger than max (31600703 vs 4194304)', 'too-large'],
    [3, 'etcdserver: request is too large', 'refused'],
    [12, 'unknown service etcdserverpb.KV', 'refused'],
    [15, 'etcdserver: corrupt cluster', 'refused'],
  ] as const)('status %i "%s" is %s', (code, details, failure) => {
    expect(of(code, details).failure).toBe(failure);
  });

  it('reads what the driver made of a status, which has lost its code', () => {
    const rebuilt = new Error('14 UNAVAILABLE: No connection established');
    expect(toEtcdRequestError(rebuilt, context).failure).toBe('unreachable');
    expect(toEtcdRequestError(new Error('3 INVALID_ARGUMENT: etcdserver: user name is empty'), context).failure).toBe(
      'auth',
    );
  });

  it('knows errors of sockets and of OpenSSL', () => {
    const socket = Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT' });
    expect(toEtcdRequestError(socket, context).failure).toBe('unreachable');
    const openssl = Object.assign(new Error('no start line'), { code: 'ERR_OSSL_PEM_NO_START_LINE' });
    expect(toEtcdRequestError(openssl, context).failure).toBe('tls');
  });

  it('maps everything, and its own errors to themselves', () => {
    const own = new EtcdRequestError('no-space', 'full');
    expect(toEtcdRequestError(own, context)).toBe(own);
    for (const odd of [
      undefined,
      null,
      7,
      'text',
      {},
      [],
      Symbol('s'),
      new TypeError('x is not a function'),
      Object.create(null),
    ]) {
      const mapped = toEtcdRequestError(odd, context);
      expect(mapped).toBeInstanceOf(EtcdRequestError);
      expect(mapped.failure).toBe('refused');
      expect(mapped.cause).toBe(odd);
    }
    expect(toEtcdRequestError(new EtcdDiscoveryError('CLOSED', 'closed'), context).failure).toBe('refused');
  });

  it('says what was asked of whom, and what to do, in one line', () => {
    const refused = of(
      14,
      'No connection established. Last error: Error: connect ECONNREFUSED 10.0.0.1:2379. Resolution note: ',
    );
    expect(refused.message).toBe('etcd at 10.0.0.1:2379 cannot be reached (range): connect ECONNREFUSED 10.0.0.1:2379');
    expect(of(3, 'etcdserver: authentication failed, invalid user ID or password').message).toMatch(
      /10\.0\.0\.1:2379 .*range.*etcd\.username and etcd\.password/,
    );
    expect(of(14, 'self-signed certificate (2026-01-01T00:00:00.000Z)').message).toMatch(
      /self-signed certificate; check etcd\.tls$/,
    );
    expect(of(13, 'two\nlines').message).not.toContain('\n');
    expect(of(13, 'x'.repeat(100_000)).message.length).toBeLessThan(700);
  });
});
