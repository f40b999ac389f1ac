import { hostname } from 'node:os';
import type { Random } from '../utils/clock.js';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

/**
 * An id that no other start of any process has: the host's name, for people, and 60 random bits. A late delete of an
 * old process can then never hit its successor.
 */
export const newInstanceId = (random: Random = Math.random, host: string = hostname()): string => {
  const readable = host
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .slice(0, 40)
    .replace(/^-+|-+$/g, '');
  const unique = Array.from({ length: 12 }, () => ALPHABET[Math.floor(random() * ALPHABET.length)]).join('');
  return readable ? `${readable}-${unique}` : unique;
};
