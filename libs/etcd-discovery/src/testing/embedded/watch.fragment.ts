import type { EventMessage, WatchResponse } from './etcd.messages.js';

/** etcd's `--max-request-bytes` (1.5 MiB) and its allowance for gRPC's own bytes (512 KiB). */
export const MAX_REQUEST_BYTES = 1.5 * 1024 * 1024;
export const MAX_MESSAGE_BYTES = MAX_REQUEST_BYTES + 512 * 1024;

/** Key and value at most; the other fields of an event, with their tags and lengths, stay below this. */
const EVENT_OVERHEAD_BYTES = 160;

const roughSize = ({ kv, prev_kv: prev }: EventMessage): number =>
  EVENT_OVERHEAD_BYTES + kv.key.length + kv.value.length + (prev ? prev.key.length + prev.value.length : 0);

/**
 * Splits an answer whose events exceed what etcd takes in one message; all parts but the last say `fragment`. An
 * answer of one event is never split.
 *
 * @param sizeOf the encoded size of a message, bytes
 */
export const fragments = (
  response: WatchResponse,
  sizeOf: (response: WatchResponse) => number,
  maxBytes = MAX_MESSAGE_BYTES,
): readonly WatchResponse[] => {
  const events = response.events ?? [];
  const rough = events.reduce((sum, event) => sum + roughSize(event), EVENT_OVERHEAD_BYTES);
  if (rough < maxBytes || events.length < 2 || sizeOf(response) < maxBytes) return [response];

  const base = sizeOf({ ...response, fragment: true, events: [] });
  const empty = sizeOf({ header: {}, watch_id: '0', events: [] });
  const parts: WatchResponse[] = [];
  let part: EventMessage[] = [];
  let size = base;
  for (const event of events) {
    const bytes = sizeOf({ header: {}, watch_id: '0', events: [event] }) - empty;
    if (part.length > 0 && size + bytes >= maxBytes) {
      parts.push({ ...response, fragment: true, events: part });
      part = [];
      size = base;
    }
    part.push(event);
    size += bytes;
  }
  parts.push({ ...response, fragment: false, events: part });
  return parts;
};
