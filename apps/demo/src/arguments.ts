import { parseArgs } from 'node:util';

export interface DemoArguments {
  readonly instances: number;
  readonly clients: number;
  /** Calls per second of all clients together. */
  readonly rps: number;
  readonly phaseSeconds: number;
  /** File for the results. */
  readonly json: string | undefined;
  /** Stay up after the last phase until Ctrl+C. */
  readonly keep: boolean;
  /** Use the etcd on localhost:2379. */
  readonly useLocal: boolean;
}

export const HELP = `npm run demo -- [options]

Starts etcd, notification-servers and clients on this machine, plays a day in production (an instance joins, a rolling
restart, a kill -9, a restart of etcd) and says whether a call failed.

  --instances N      notification-servers to begin with (3)
  --clients N        clients, each its own process (2)
  --rps N            calls per second of all clients together (200)
  --phase-seconds N  how long a phase lasts at least (8)
  --json FILE        write the results to FILE
  --keep             stay up after the last phase until Ctrl+C
  --use-local        use the etcd on localhost:2379, under a namespace of this run
  --help             this text

Which etcd: ETCD_ENDPOINTS if set (under a namespace of this run; never restarted), else one of its own on a free port:
the binary at ETCD_BIN or an "etcd" on PATH, else the embedded etcd of this repository.
Exit code: 0 if no call failed and every client saw every change, else 1; 2 for wrong options.
`;

/** What is wrong with the command line, for people. */
export class ArgumentsError extends Error {
  override readonly name = 'ArgumentsError';
}

const LIMITS = { instances: [1, 20], clients: [1, 20], rps: [1, 5_000], 'phase-seconds': [1, 3_600] } as const;

/**
 * @returns `'help'` when help was asked for
 * @throws ArgumentsError
 */
export function parseDemoArguments(argv: readonly string[]): DemoArguments | 'help' {
  const { values } = parse(argv);
  if (values.help === true) return 'help';
  const number = (name: keyof typeof LIMITS, fallback: number): number => {
    const text = values[name];
    if (text === undefined) return fallback;
    const [least, most] = LIMITS[name];
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new ArgumentsError(`--${name}: expected a whole number from ${least} to ${most}, got "${text}"`);
  };
  const result = {
    instances: number('instances', 3),
    clients: number('clients', 2),
    rps: number('rps', 200),
    phaseSeconds: number('phase-seconds', 8),
    json: values.json,
    keep: values.keep === true,
    useLocal: values['use-local'] === true,
  };
  if (result.json === '') throw new ArgumentsError('--json: expected a file name');
  return result;
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        instances: { type: 'string' },
        clients: { type: 'string' },
        rps: { type: 'string' },
        'phase-seconds': { type: 'string' },
        json: { type: 'string' },
        keep: { type: 'boolean' },
        'use-local': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new ArgumentsError((error as Error).message);
  }
}
