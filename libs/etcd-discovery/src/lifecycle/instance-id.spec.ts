import { expect, it } from 'vitest';
import { isValidName } from '../instance/names.js';
import { newInstanceId } from './instance-id.js';

it('is unique per start and readable', () => {
  const ids = new Set(Array.from({ length: 1_000 }, () => newInstanceId(Math.random, 'web-7c9f')));
  expect(ids.size).toBe(1_000);
  for (const id of ids) expect(id).toMatch(/^web-7c9f-[a-z0-9]{12}$/);
});

it.each(['', '-', 'Host.Example.COM', 'x'.repeat(300), 'ünï_cöde', '..', '-a-'])(
  'is a valid id on a host called %j',
  (host) => {
    expect(isValidName(newInstanceId(() => 0.999999, host))).toBe(true);
    expect(isValidName(newInstanceId(() => 0, host))).toBe(true);
  },
);
