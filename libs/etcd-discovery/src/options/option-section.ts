import { z } from 'zod';
import { describeGiven, REDACTED, type OptionMistake } from './option-mistake.js';
import type { OptionPath } from './option-origin.js';
import { readKeys } from './option-keys.js';

/**
 * Building blocks of the options schema. Each is a zod type whose transform reports what is wrong as an `OptionMistake` in
 * `params` and goes on, so that one parse finds every mistake, under the keys as they were written.
 */

type Ctx = z.RefinementCtx;

/** Reports one mistake below the value that is being parsed. */
export type Report = (problem: string, path?: OptionPath, given?: string) => void;

/** What a field makes of a value: the result, or what is wrong with it. */
export type FieldResult<T> = { readonly value: T } | { readonly expected: string };

export const report = (ctx: Ctx, problem: string, path: OptionPath = [], given?: string): void => {
  ctx.issues.push({ code: 'custom', input: undefined, path: [...path], message: problem, params: { given } });
};

/** The mistakes of a failed parse, in the order in which they were found. */
export const mistakesOf = (error: z.ZodError): OptionMistake[] =>
  error.issues.map((issue) => {
    const given = issue.code === 'custom' ? (issue.params?.given as string | undefined) : undefined;
    return {
      path: issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key)),
      problem: issue.message,
      ...(given === undefined ? {} : { given }),
    };
  });

/** One value. `read` gets what was given, never undefined or null; `secret` values are not shown in errors. */
export const field = <T>(read: (given: unknown) => FieldResult<T>, options: { secret?: boolean } = {}) =>
  z.unknown().transform((given, ctx): T => {
    if (given === undefined || given === null) {
      const result = read(undefined);
      report(ctx, `is missing; ${'expected' in result ? `expected ${result.expected}` : 'it is required'}`);
      return z.NEVER;
    }
    const result = read(given);
    if ('value' in result) return result.value;
    report(ctx, `expected ${result.expected}`, [], options.secret ? REDACTED : describeGiven(given));
    return z.NEVER;
  });

/**
 * A map with known keys, in camelCase or kebab-case. `check` sees what was given, under camelCase keys, and reports what
 * is wrong between fields; it runs even when single fields are wrong.
 */
export const section = <S extends z.ZodRawShape>(
  shape: S,
  check?: (given: Readonly<Record<string, unknown>>, report: Report) => void,
) => {
  const inner = z.object(shape);
  return z.unknown().transform((given, ctx): z.output<typeof inner> => {
    const keys = readKeys(given, Object.keys(shape));
    if (!keys) {
      report(ctx, 'expected a map', [], describeGiven(given));
      return z.NEVER;
    }
    for (const { key, problem } of keys.problems) report(ctx, problem, [key]);
    const spelled = (path: OptionPath): OptionPath =>
      path.map((key, index) => (index === 0 ? (keys.spelling.get(String(key)) ?? key) : key));
    const result = inner.safeParse(keys.values);
    if (!result.success) {
      for (const { path, problem, given: shown } of mistakesOf(result.error))
        report(ctx, problem, spelled(path), shown);
    }
    check?.(keys.values, (problem, path = [], shown) => report(ctx, problem, spelled(path), shown));
    return result.success ? result.data : z.NEVER;
  });
};

/** A map whose keys are the user's: taken as they are, each checked by `keyProblem`. The result has no prototype. */
export const mapOf = <T extends z.ZodType>(type: T, keyProblem: (key: string) => string | undefined) =>
  z.unknown().transform((given, ctx): Readonly<Record<string, z.output<T>>> => {
    const result = Object.create(null) as Record<string, z.output<T>>;
    if (!isMap(given)) {
      report(ctx, 'expected a map', [], describeGiven(given));
      return z.NEVER;
    }
    for (const key of Object.keys(given)) {
      const problem = keyProblem(key);
      if (problem !== undefined) report(ctx, problem, [key]);
      const item = parseInto(type, given[key], ctx, [key]);
      if (item.ok && problem === undefined) result[key] = item.value;
    }
    return Object.freeze(result);
  });

/** A list, or a single entry in place of a list of one. */
export const oneOrMany = <T extends z.ZodType>(type: T) =>
  z.unknown().transform((given, ctx): readonly z.output<T>[] => {
    const list: readonly unknown[] = Array.isArray(given) ? given : [given];
    return list.flatMap((entry, index) => {
      const item = parseInto(type, entry, ctx, Array.isArray(given) ? [index] : []);
      return item.ok ? [item.value] : [];
    });
  });

/** A list of entries of one kind. */
export const listOf = <T extends z.ZodType>(type: T) => {
  const entries = oneOrMany(type);
  return z.unknown().transform((given, ctx): readonly z.output<T>[] => {
    if (!Array.isArray(given)) {
      report(ctx, 'expected a list', [], describeGiven(given));
      return z.NEVER;
    }
    const result = parseInto(entries, given, ctx, []);
    return result.ok ? result.value : z.NEVER;
  });
};

/** `false`, or the rest. */
export const falseOr = <T extends z.ZodType>(type: T) =>
  z.unknown().transform((given, ctx): false | z.output<T> => {
    if (given === false) return false;
    if (!isMap(given)) {
      report(ctx, 'expected false or a map', [], describeGiven(given));
      return z.NEVER;
    }
    const result = parseInto(type, given, ctx, []);
    return result.ok ? result.value : z.NEVER;
  });

export const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value);

const parseInto = <T extends z.ZodType>(
  type: T,
  value: unknown,
  ctx: Ctx,
  at: OptionPath,
): { ok: true; value: z.output<T> } | { ok: false } => {
  const result = type.safeParse(value);
  if (result.success) return { ok: true, value: result.data };
  for (const { path, problem, given } of mistakesOf(result.error)) report(ctx, problem, [...at, ...path], given);
  return { ok: false };
};
