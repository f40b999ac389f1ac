import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import { quote } from '../instance/text.js';
import type { Duration } from './etcd-discovery-options.interface.js';

/** Longest duration, ms: what a Node timer can wait (2³¹ − 1, 24.8 days); beyond, it would fire at once. */
export const MAX_DURATION_MS = 2_147_483_647;

// Each unit at most once, largest first; a fraction only where it reads naturally ('1.5s').
const DURATION =
  /^(?:(\d{1,9}(?:\.\d{1,9})?)h)?(?:(\d{1,9}(?:\.\d{1,9})?)m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,12}(?:\.\d{1,9})?)ms)?$/;
const UNIT_MS = [3_600_000, 60_000, 1000, 1];

/** Milliseconds of `'1m30s'`, `'1.5s'`, `'500ms'` or a number; undefined for anything else, negatives included. */
export const readDuration = (value: unknown): number | undefined => {
  if (typeof value === 'number') return isDuration(value) ? value : undefined;
  if (typeof value !== 'string' || value === '') return undefined;
  const parts = DURATION.exec(value)?.slice(1);
  if (!parts) return undefined;
  const ms = parts.reduce((sum, part, index) => sum + Number(part ?? 0) * (UNIT_MS[index] ?? 0), 0);
  // '0.1s' is 100.00000000000001 otherwise.
  const rounded = Math.round(ms * 1000) / 1000;
  return isDuration(rounded) ? rounded : undefined;
};

/**
 * Milliseconds of a duration.
 *
 * @throws InvalidOptionsError for anything but a non-negative number or a string of hours, minutes, seconds and
 * milliseconds (`'1h'`, `'1m30s'`, `'1.5s'`, `'500ms'`), and for more than 24.8 days.
 */
export const parseDuration = (value: Duration): number => {
  const ms = readDuration(value);
  if (ms !== undefined) return ms;
  const given = typeof value === 'string' ? quote(value) : String(value);
  throw new InvalidOptionsError(
    `${given} is not a duration: expected '500ms', '5s' or '1m30s', or a number of milliseconds`,
  );
};

const isDuration = (ms: number): boolean => ms >= 0 && ms <= MAX_DURATION_MS;
