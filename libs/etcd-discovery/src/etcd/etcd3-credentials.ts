import { readFileSync } from 'node:fs';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import type { ResolvedEtcdOptions } from '../options/resolved-options.js';
import { EtcdRequestError } from './etcd-status.js';

/**
 * Credentials of one connection. Files are read each time, so that a rotated certificate is used from the next
 * connection on without a restart.
 *
 * @throws EtcdRequestError `tls`, naming the option, when a file cannot be read or is not PEM.
 */
export const channelCredentials = (tls: ResolvedEtcdOptions['tls'], endpoint: string): ChannelCredentials => {
  if (!tls) return credentials.createInsecure();
  const ca = content('ca', tls.ca);
  const key = content('key', tls.key);
  const cert = content('cert', tls.cert);
  try {
    return credentials.createSsl(ca, key, cert);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EtcdRequestError(
      'tls',
      `No secure connection to etcd at ${endpoint}: etcd.tls cannot be used: ${reason}; check that ca, cert and key are PEM and belong together`,
      { cause },
    );
  }
};

const content = (option: string, source: string | Buffer | undefined): Buffer | null => {
  if (source === undefined) return null;
  if (typeof source !== 'string') return source;
  try {
    return readFileSync(source);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new EtcdRequestError('tls', `etcd.tls.${option} cannot be read: ${reason}: ${source}`, { cause });
  }
};
