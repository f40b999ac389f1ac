import { type ClientUnaryCall, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../../test/support/fake-clock.js';
import { RetryBudget } from './retry-budget.js';
import { unaryCall, type UnaryCallPolicy } from './unary-call.js';

type Callback = (error: ServiceError | null, value?: unknown) => void;

const gone = (code = status.UNAVAILABLE): ServiceError =>
  Object.assign(new Error('gone'), { code, details: 'gone', metadata: new Metadata() });

/** One call per entry of `answers`, each what the server does with it. */
const scene = (answers: ((call: EventEmitter, callback: Callback) => void)[], repeatable = true) => {
  const clock = new FakeClock();
  const repeat = { maxAttempts: 4, backoffMs: 20, budget: new RetryBudget(1_000) };
  const policy: UnaryCallPolicy = { deadlineMs: 0, ...(repeatable && { repeat }) };
  const told: string[] = [];
  let calls = 0;
  unaryCall(
    (_options, callback) => {
      const call = Object.assign(new EventEmitter(), { cancel: () => {} });
      const answer = answers[calls++]!;
      if (answer === closed) answer(call, callback);
      else queueMicrotask(() => answer(call, callback));
      return call as unknown as ClientUnaryCall;
    },
    undefined,
    () => policy,
    {
      after: (ms, run) => clock.after(ms, run),
      random: () => 0.5,
      serializeError: (error) => new Error(`serialized: ${(error as Error).message}`),
    },
  ).subscribe({
    next: (value) => told.push(`value ${String(value)}`),
    error: (error: Error) => told.push(error.message),
    complete: () => told.push('complete'),
  });
  return { clock, told, calls: () => calls };
};

/** Headers came, so that the call is committed; then the server died. */
const diesWhileAnswering = (call: EventEmitter, callback: Callback) => {
  call.emit('metadata', new Metadata());
  callback(gone());
};
const answers = (_call: EventEmitter, callback: Callback) => callback(null, 7);
const refuses = (_call: EventEmitter, callback: Callback) => callback(gone());
/** As grpc-js on a client that was closed: it throws out of the call itself. */
const closed = () => {
  throw new Error('Channel has been shut down');
};

describe('unaryCall', () => {
  it('repeats a committed call once, where the method may be repeated', async () => {
    const { clock, told, calls } = scene([diesWhileAnswering, answers]);
    await settle();
    expect(told).toEqual([]);
    await clock.advance(20);
    expect(told).toEqual(['value 7', 'complete']);
    expect(calls()).toBe(2);
  });

  it('repeats nothing that may not be repeated, and nothing that gRPC itself has retried', async () => {
    for (const { told, calls } of [scene([diesWhileAnswering], false), scene([refuses])]) {
      await settle();
      expect(told).toEqual(['serialized: gone']);
      expect(calls()).toBe(1);
    }
  });

  it('tells the subscriber, and not the process, when the client is closed before the repetition', async () => {
    const { clock, told } = scene([diesWhileAnswering, closed]);
    await settle();
    await clock.advance(20);
    expect(told).toEqual(['serialized: Channel has been shut down']);
  });
});
