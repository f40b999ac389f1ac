import type { Message, Outcome, WatchCall } from './raw-etcd.js';

const REVISIONS = new Set(['revision', 'create_revision', 'mod_revision', 'compact_revision']);
const IDENTITIES = new Set(['cluster_id', 'member_id', 'raft_term']);
/** A remaining TTL may be this much below the granted one and still count as fresh, seconds. */
const TTL_TOLERANCE = 10;

export interface Baseline {
  /** The revision that counts as 0. */
  readonly revision: number;
  /** Keys and ids that differ from run to run, and what they are called in the comparison. */
  readonly names?: ReadonlyMap<string, string>;
}

const visit = (field: string, value: unknown, base: Baseline): unknown => {
  if (Buffer.isBuffer(value)) return value.length > 200 ? `<${value.length} bytes>` : value.toString('latin1');
  if (Array.isArray(value)) return value.map((item) => visit(field, item, base));
  if (value !== null && typeof value === 'object') return comparableMessage(value as Message, base);
  if (REVISIONS.has(field) && Number(value) > 0) return Number(value) - base.revision;
  if (IDENTITIES.has(field)) return value === '0' ? 'none' : 'some';
  return typeof value === 'string' ? (base.names?.get(value) ?? value) : value;
};

/** The message with everything taken out that may differ between two servers, and nothing else. */
export const comparableMessage = (message: Message, base: Baseline): Message => {
  const result: Message = {};
  for (const [field, value] of Object.entries(message)) result[field] = visit(field, value, base);
  const granted = Number(message.grantedTTL);
  if (granted > 0 && granted - Number(message.TTL) <= TTL_TOLERANCE) result.TTL = 'fresh';
  // The keys of a lease come in no order.
  if ('grantedTTL' in message) result.keys = (result.keys as string[]).toSorted();
  return result;
};

export const comparable = (outcome: Outcome, base: Baseline): unknown =>
  'answer' in outcome ? comparableMessage(outcome.answer, base) : outcome;

const eventsOf = (response: Message): Message[] => (response.events ?? []) as Message[];

/** A progress answer that belongs to no watch: it may overtake events, and tells nothing but that it was asked for. */
export const isProgress = ({ watch_id, created, canceled }: Message): boolean =>
  watch_id === '-1' && !created && !canceled;

/** What each watch of a call was told: its events, whatever answers they came in, and everything that is no event. */
export const watchSummary = (
  { responses }: WatchCall,
  base: Baseline,
): Record<string, { control: unknown[]; events: unknown[] }> => {
  const summary: Record<string, { control: unknown[]; events: unknown[] }> = {};
  for (const response of responses.filter((answer) => !isProgress(answer))) {
    const told = (summary[String(response.watch_id)] ??= { control: [], events: [] });
    const events = eventsOf(response);
    if (events.length === 0) told.control.push(comparableMessage(response, base));
    told.events.push(...events.map((event) => comparableMessage(event, base)));
  }
  return summary;
};

export const eventCount = ({ responses }: WatchCall): number =>
  responses.reduce((sum, response) => sum + eventsOf(response).length, 0);

/** How much has been told: events, and answers without any. */
export const toldCount = ({ responses }: WatchCall): number =>
  responses.reduce((sum, response) => sum + (isProgress(response) ? 0 : Math.max(1, eventsOf(response).length)), 0);
