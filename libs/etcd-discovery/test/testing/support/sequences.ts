import * as fc from 'fast-check';
import type { Message } from './raw-etcd.js';

/**
 * Random sequences of operations on a few keys under a prefix of their own. Revisions are offsets from the revision at
 * which a sequence begins; leases are slots 1–3.
 */
export type Operation =
  | { readonly type: 'call'; readonly service: 'KV' | 'Lease'; readonly method: string; readonly request: Template }
  | { readonly type: 'keepAlive'; readonly slot: number }
  | { readonly type: 'watch'; readonly request: Template }
  | { readonly type: 'cancelWatch'; readonly id: number };

/** Fills in what a sequence knows only when it runs. */
export type Template = (context: SequenceContext) => Message;

export interface SequenceContext {
  readonly prefix: string;
  readonly revision: number;
  readonly leaseId: (slot: number) => string;
}

/** A watch starts at most so many revisions after the one at which its sequence begins. */
export const FARTHEST_START = 8;

const KEYS = ['a', 'ab', 'b', 'b/1', 'c', 'd'] as const;

const key = fc.constantFrom(...KEYS);
const value = fc.constantFrom('', '1', '2', 'x');
/** Slot 0 is no lease; slot 3 is granted seldom, so that it is often missing. */
const slot = fc.constantFrom(0, 0, 0, 1, 1, 2, 3);
const offset = fc.integer({ min: -1, max: 12 });
const sometimes = fc.constantFrom(false, false, true);

const bytes = ({ prefix }: SequenceContext, name: string) => Buffer.from(prefix + name);

/**
 * The end of a range, as a function of the prefix. None is left out: an end that is sent, but empty, means "from key on"
 * to a real etcd's reads. The delete of a transaction takes no open end: see `checkOverlaps`.
 */
type End = (context: SequenceContext) => Buffer | undefined;
const noEnd: End = () => undefined;
const closedEnd: fc.Arbitrary<End> = fc.oneof(
  { weight: 4, arbitrary: fc.constant(noEnd) },
  { weight: 3, arbitrary: fc.constant<End>((context) => bytes(context, '~')) },
  {
    weight: 2,
    arbitrary: key.map(
      (name): End =>
        (context) =>
          bytes(context, name),
    ),
  },
);
const anyEnd: fc.Arbitrary<End> = fc.oneof(
  { weight: 8, arbitrary: closedEnd },
  { weight: 1, arbitrary: fc.constant<End>(() => Buffer.from([0])) },
);
const rangeStart = fc.oneof(key, fc.constant(''));

const bound = fc.option(offset, { nil: undefined, freq: 4 });

const rangeTemplate: fc.Arbitrary<Template> = fc
  .record({
    key: rangeStart,
    end: anyEnd,
    limit: fc.constantFrom(0, 0, 1, 2, 3, -1),
    revision: fc.option(fc.constantFrom(-2, 0, 1, 2, 3, 5, 9), { nil: undefined, freq: 3 }),
    sort_order: fc.constantFrom(0, 0, 1, 2),
    sort_target: fc.constantFrom(0, 0, 1, 2, 3, 4),
    keys_only: sometimes,
    count_only: fc.constantFrom(false, false, false, true),
    bounds: fc.record({
      min_mod_revision: bound,
      max_mod_revision: bound,
      min_create_revision: bound,
      max_create_revision: bound,
    }),
  })
  .map(({ key: name, end, revision, bounds, ...flags }): Template => (context) => {
    const request: Message = { ...flags, key: bytes(context, name), range_end: end(context) };
    if (revision !== undefined) request.revision = context.revision + revision;
    for (const [field, delta] of Object.entries(bounds)) {
      if (delta !== undefined) request[field] = context.revision + delta;
    }
    return request;
  });

const putTemplate: fc.Arbitrary<Template> = fc
  .record({
    key,
    value,
    slot,
    prev_kv: sometimes,
    ignore: fc.constantFrom('', '', '', '', 'ignore_value', 'ignore_lease', 'both', 'wrong'),
  })
  .map(({ key: name, value: text, slot: lease, prev_kv, ignore }): Template => (context) => {
    const keepsValue = ignore === 'ignore_value' || ignore === 'both';
    const keepsLease = ignore === 'ignore_lease' || ignore === 'both';
    return {
      key: bytes(context, name),
      value: Buffer.from(keepsValue ? '' : text),
      lease: keepsLease ? '0' : context.leaseId(lease),
      prev_kv,
      // 'wrong' may give both a value and the wish to keep the old one.
      ignore_value: keepsValue || ignore === 'wrong',
      ignore_lease: keepsLease,
    };
  });

const deleteTemplate = (ends: fc.Arbitrary<End>): fc.Arbitrary<Template> =>
  fc
    .record({ key: rangeStart, end: ends, prev_kv: sometimes })
    .map(({ key: name, end, prev_kv }): Template => (context) => ({
      key: bytes(context, name),
      range_end: end(context),
      prev_kv,
    }));

const compareTemplate: fc.Arbitrary<Template> = fc
  .record({
    key,
    end: anyEnd,
    result: fc.integer({ min: 0, max: 3 }),
    target: fc.constantFrom('version', 'create_revision', 'mod_revision', 'value', 'lease'),
    number: fc.integer({ min: 0, max: 6 }),
    value,
    slot,
  })
  .map(({ key: name, end, result, target, number, value: text, slot: lease }): Template => (context) => {
    const wanted: Message = {
      version: number % 4,
      create_revision: number === 0 ? 0 : context.revision + number,
      mod_revision: number === 0 ? 0 : context.revision + number,
      value: Buffer.from(text),
      lease: context.leaseId(lease),
    };
    const targets = ['version', 'create_revision', 'mod_revision', 'value', 'lease'];
    return {
      key: bytes(context, name),
      range_end: end(context),
      result,
      target: targets.indexOf(target),
      [target]: wanted[target],
    };
  });

const { txn: txnTemplate } = fc.letrec<{ txn: Template; op: Template }>((tie) => ({
  txn: fc
    .record({
      compare: fc.array(compareTemplate, { maxLength: 2 }),
      success: fc.array(tie('op'), { maxLength: 4 }),
      failure: fc.array(tie('op'), { maxLength: 3 }),
    })
    .map(({ compare, success, failure }): Template => (context) => ({
      compare: compare.map((template) => template(context)),
      success: success.map((template) => template(context)),
      failure: failure.map((template) => template(context)),
    })),
  op: fc.oneof(
    { maxDepth: 2, depthSize: 'small', withCrossShrink: true },
    putTemplate.map((template): Template => (context) => ({ request_put: template(context) })),
    rangeTemplate.map((template): Template => (context) => ({ request_range: template(context) })),
    deleteTemplate(closedEnd).map((template): Template => (context) => ({ request_delete_range: template(context) })),
    tie('txn').map((template): Template => (context) => ({ request_txn: template(context) })),
  ),
}));

const call =
  (service: 'KV' | 'Lease', method: string) =>
  (request: Template): Operation => ({ type: 'call', service, method, request });

const leaseSlot = fc.constantFrom(1, 1, 2, 3);
const leaseCall = (method: string, more: Message = {}) =>
  leaseSlot.map((lease) => call('Lease', method)((context) => ({ ...more, ID: context.leaseId(lease) })));

const compactTemplate = fc
  .integer({ min: 0, max: 8 })
  .map((delta): Template => (context) => ({ revision: context.revision + delta, physical: true }));

const watchTemplate: fc.Arbitrary<Template> = fc
  .record({
    key: rangeStart,
    end: anyEnd,
    start: fc.option(fc.integer({ min: 1, max: FARTHEST_START }), { nil: undefined, freq: 2 }),
    prev_kv: fc.boolean(),
    filters: fc.constantFrom([], [], [0], [1]),
    watch_id: fc.constantFrom('0', '0', '0', '7'),
  })
  .map(({ key: name, end, start, ...flags }): Template => (context) => ({
    ...flags,
    key: bytes(context, name),
    range_end: end(context),
    start_revision: start === undefined ? 0 : context.revision + start,
  }));

const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 10, arbitrary: putTemplate.map(call('KV', 'Put')) },
  { weight: 7, arbitrary: rangeTemplate.map(call('KV', 'Range')) },
  { weight: 3, arbitrary: deleteTemplate(anyEnd).map(call('KV', 'DeleteRange')) },
  { weight: 7, arbitrary: txnTemplate.map(call('KV', 'Txn')) },
  { weight: 1, arbitrary: compactTemplate.map(call('KV', 'Compact')) },
  { weight: 3, arbitrary: leaseCall('LeaseGrant', { TTL: 60 }) },
  { weight: 1, arbitrary: leaseCall('LeaseRevoke') },
  { weight: 1, arbitrary: leaseCall('LeaseTimeToLive', { keys: true }) },
  { weight: 1, arbitrary: fc.constant(call('Lease', 'LeaseLeases')(() => ({}))) },
  { weight: 1, arbitrary: leaseSlot.map((lease): Operation => ({ type: 'keepAlive', slot: lease })) },
  { weight: 2, arbitrary: watchTemplate.map((request): Operation => ({ type: 'watch', request })) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 7).map((id): Operation => ({ type: 'cancelWatch', id })) },
);

/** A context for reading: the prefix is left out, revisions count from 0. */
const shown: SequenceContext = { prefix: '', revision: 0, leaseId: (slot) => `lease ${slot}` };

const show = (step: Operation): string => {
  if (!('request' in step)) return JSON.stringify(step);
  const request = JSON.stringify(step.request(shown), (_, value: unknown) => {
    const bytes = value as { type?: unknown; data?: number[] } | null;
    return bytes?.type === 'Buffer' ? Buffer.from(bytes.data!).toString('latin1') : value;
  });
  return `${step.type === 'watch' ? 'Watch' : step.method} ${request}`;
};

/** One operation; a counterexample prints it as the request it makes. */
export const operation = anyOperation.map((step) => ({ ...step, [fc.toStringMethod]: () => `\n    ${show(step)}` }));
