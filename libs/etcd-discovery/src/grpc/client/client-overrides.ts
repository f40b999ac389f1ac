import { InvalidOptionsError } from '../../etcd-discovery.errors.js';
import { CLIENT_DEFAULTS, RETRY_DEFAULTS } from '../../options/defaults.js';
import { parseDuration } from '../../options/duration.js';
import type { ClientDefaults, Duration } from '../../options/etcd-discovery-options.interface.js';
import type { ResolvedClientDefaults } from '../../options/resolved-options.js';

type Overrides = { -readonly [key in keyof ResolvedClientDefaults]?: ResolvedClientDefaults[key] };

/**
 * What a client's own options say of its calls, in milliseconds; what they leave out stays out.
 *
 * @throws InvalidOptionsError naming the option and the service
 */
export const resolveOverrides = (options: ClientDefaults & { service: string }): Partial<ResolvedClientDefaults> => {
  const overrides: Overrides = {};
  const { loadBalancing, retry, retryableMethods, deadline, waitForReady, keepalive, outlierDetection, zone } = options;
  const duration = (path: string, value: Duration): number => {
    try {
      return parseDuration(value);
    } catch (error) {
      throw new InvalidOptionsError(`${path} of the gRPC client for "${options.service}": ${String(error)}`, {
        cause: error,
      });
    }
  };
  if (loadBalancing !== undefined) {
    overrides.loadBalancing = typeof loadBalancing === 'string' ? { policy: loadBalancing } : loadBalancing;
  }
  if (retry === false) overrides.retry = false;
  else if (retry !== undefined) {
    const initial = RETRY_DEFAULTS;
    overrides.retry = {
      maxAttempts: retry.maxAttempts ?? initial.maxAttempts,
      initialBackoffMs:
        retry.initialBackoff === undefined
          ? initial.initialBackoffMs
          : duration('retry.initialBackoff', retry.initialBackoff),
      maxBackoffMs:
        retry.maxBackoff === undefined ? initial.maxBackoffMs : duration('retry.maxBackoff', retry.maxBackoff),
      maxTokens: retry.maxTokens ?? initial.maxTokens,
    };
  }
  if (retryableMethods !== undefined) overrides.retryableMethods = retryableMethods;
  if (deadline !== undefined) overrides.deadlineMs = duration('deadline', deadline);
  if (waitForReady !== undefined) overrides.waitForReady = waitForReady;
  if (keepalive?.time !== undefined || keepalive?.timeout !== undefined) {
    const initial = CLIENT_DEFAULTS.keepalive;
    overrides.keepalive = {
      timeMs: keepalive.time === undefined ? initial.timeMs : duration('keepalive.time', keepalive.time),
      timeoutMs: keepalive.timeout === undefined ? initial.timeoutMs : duration('keepalive.timeout', keepalive.timeout),
    };
  }
  if (outlierDetection !== undefined) {
    overrides.outlierDetection = outlierDetection as ResolvedClientDefaults['outlierDetection'];
  }
  if (zone !== undefined) overrides.zone = zone;
  return overrides;
};
