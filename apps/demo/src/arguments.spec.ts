import { describe, expect, it } from 'vitest';
import { ArgumentsError, HELP, parseDemoArguments } from './arguments.js';

describe('the command line', () => {
  it('has a default for everything', () => {
    expect(parseDemoArguments([])).toEqual({
      instances: 3,
      clients: 2,
      rps: 200,
      phaseSeconds: 8,
      json: undefined,
      keep: false,
      useLocal: false,
    });
  });

  it('takes every option that the help names', () => {
    const argv = '--instances 5 --clients 1 --rps=50 --phase-seconds 3 --json out.json --keep --use-local'.split(' ');
    expect(parseDemoArguments(argv)).toEqual({
      instances: 5,
      clients: 1,
      rps: 50,
      phaseSeconds: 3,
      json: 'out.json',
      keep: true,
      useLocal: true,
    });
    for (const option of HELP.matchAll(/^ {2}--([a-z-]+)( [A-Z]+)?/gm)) {
      const [, name, value] = option;
      expect(() => parseDemoArguments(value === undefined ? [`--${name}`] : [`--${name}`, '1'])).not.toThrow();
    }
  });

  it.each(['--help', '-h'])('explains itself for %s', (flag) => {
    expect(parseDemoArguments([flag])).toBe('help');
  });

  it.each([
    [['--instances', '0'], /--instances: expected a whole number from 1 to 20, got "0"/],
    [['--rps', '1.5'], /--rps: expected/],
    [['--rps', ''], /--rps: expected/],
    [['--phase-seconds', 'x'], /--phase-seconds: expected/],
    [['--json', ''], /--json: expected a file name/],
    [['--speed', '3'], /--speed/],
    [['extra'], /extra/],
  ])('refuses %j', (argv, message) => {
    expect(() => parseDemoArguments(argv)).toThrow(ArgumentsError);
    expect(() => parseDemoArguments(argv)).toThrow(message);
  });
});
